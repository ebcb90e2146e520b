"""Runs an answer and its tests, and says how it went on the standard output that it was given.

What the program prints goes nowhere. It is executed before the tests are known to it, and the verdict
needs a token that it was not told.
"""

import json
import os
import sys


def main():
    task = json.loads(sys.stdin.buffer.read())
    verdict = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    token = task["token"]
    exit = os._exit
    write = os.write

    def say(text):
        write(verdict, text.encode("utf-8", "replace")[:400])
        exit(0)

    write(verdict, b"begun ")  # what goes wrong before is not the answer's doing
    try:
        program = compile(task["program"], "answer.py", "exec")
    except (SyntaxError, ValueError) as e:
        say("fail unparsable " + type(e).__name__ + ": " + str(e))
    names = {"__name__": "__main__", "__builtins__": __builtins__}
    try:
        exec(program, names)
        exec(compile(task["test"], "test.py", "exec"), names)
    except BaseException as e:  # SystemExit as well: a program that leaves has not passed
        say("fail " + type(e).__name__ + ": " + str(e))
    say("pass " + token)


main()
