"""Learning tasks: what a target is, how it is evaluated, predicted and shown. Shared code asks the task.

A task of your own is a class with the methods of `leyden.tasks.base.Task` and a YAML file in `conf/task`.
"""
