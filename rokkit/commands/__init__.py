"""The commands of `rokkit`, one file each.

A command is a module with `add(commands)`, which declares its arguments, and does its imports
when it runs: `rokkit --help` must not wait for torch.
"""
