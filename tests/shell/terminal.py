"""terminal.py STEPS COMMAND... - runs a command in a terminal of its own, and types what a file of steps says.

    wait TEXT    until TEXT comes, behind what was waited for before
    type TEXT    with Python's escapes: \\r is the return key, \\x03 Ctrl-C, \\x04 Ctrl-D, \\t Tab, \\x1b[A arrow up

Prints all that the terminal showed. Ends with the command's exit code, or with 99 and a message when a text
did not come in half a minute."""
import codecs
import os
import pty
import signal
import select
import sys
import time

PATIENCE = 30


class Terminal:
    def __init__(self, command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background has it ignored
            os.execvp(command[0], command)
        self.seen = b""
        self.at = 0

    def read(self, seconds):
        """Reads something; False: the command has closed the terminal."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def wait(self, text):
        end = time.time() + PATIENCE
        while text not in self.seen[self.at:]:
            if not self.read(1) or time.time() > end:
                return False
        self.at = self.seen.index(text, self.at) + len(text)
        return True

    def finish(self, patience):
        end = time.time() + patience
        while self.read(1) and time.time() < end:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        steps = [line.rstrip("\n").split(" ", 1) for line in file if line.strip()]
    terminal = Terminal(sys.argv[2:])
    code = 0
    for verb, text in steps:
        data = codecs.escape_decode(text.encode())[0]
        if verb == "type":
            os.write(terminal.fd, data)
        elif not terminal.wait(data):
            print(f"terminal: '{text}' did not come", file=sys.stderr)
            code = 99
            break
    status = terminal.finish(0 if code else PATIENCE)
    sys.stdout.buffer.write(terminal.seen.replace(b"\r\n", b"\n"))
    return code or status


sys.exit(main())
