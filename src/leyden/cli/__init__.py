"""The commands of `leyden`, one file each: parse the arguments, call one function of another package, print."""
