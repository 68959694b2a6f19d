"""`leyden report`: runs compared. `assessment` says what; terminal, exports and page how it looks."""
