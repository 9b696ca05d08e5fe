"""Attacks on what the corpus leaves out: the frames, the grader, the accounting, raw system calls."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random

import pytest

from sandbox.yard import Yard
from tuneval.sandbox import Limits, Program, SandboxBackend, run_all
from tuneval.sandbox.backend import MAPPED_FILES_HIDE, NAMES_ARE_SEEN, OPEN_FILES_HIDE
from tuneval.sandbox.program import Grading

ADD = "def check(candidate):\n    assert candidate(2, 3) == 5\n    assert candidate(-7, 4) == -3\n"
HONEST = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return 0\n"
FRAMES = """
import json, os
def send(record):
    body = json.dumps(record).encode()
    for fd in range(3, 64):
        try:
            os.write(fd, len(body).to_bytes(4, "big") + body)
        except OSError:
            pass
"""
RAW = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def denied(number, *args):
    libc.syscall.restype = ctypes.c_long
    return libc.syscall(number, *args) == -1
"""


SHORT = Limits(cpu_seconds=2, wall_seconds=20.0)


@dataclass(frozen=True)
class Attack:
    name: str
    program: str
    outcomes: tuple[str, ...]
    test: str = ADD
    limits: Limits = SHORT
    grading: Grading = "split"
    gap: str = ""
    """What a backend must name for the program to see something (it then prints "SEEN:")."""


ATTACKS = [
    Attack("forged set-up failure", FRAMES + "send({'setup': 'broken'})\n" + WRONG, ("violation",)),
    Attack("forged confirmation", FRAMES + "send({'confined': True})\n" + WRONG, ("violation",)),
    Attack(
        "forged verdict",
        FRAMES + "send({'outcome': 'passed', 'detail': ''})\n" + WRONG,
        ("violation",),
    ),
    Attack(
        "answer before the question",
        FRAMES + "def add(a, b):\n    send({'id': '0', 'value': 5})\n    return 0\n",
        ("violation",),
    ),
    Attack(
        "answer with another id",
        FRAMES + "import inside.candidate as c\n"
        "c._answer = lambda m, s, call: {'id': 'x', 'value': 5}\n" + WRONG,
        ("violation",),
    ),
    Attack(
        "deep frame",
        "import inside.candidate as c\n"
        "def nest(*a):\n"
        "    raise SystemExit\n"
        "c.wire._dump = lambda value: '{\"id\":\"x\",\"value\":' + '[' * 10**6 + ']' * 10**6 + '}'\n"
        + WRONG,
        ("violation",),
    ),
    Attack(
        "frame longer than allowed",
        "import os\nfor fd in range(3, 64):\n    try:\n        os.write(fd, b'\\xff\\xff\\xff\\xff')\n"
        "    except OSError:\n        pass\n" + WRONG,
        ("violation",),
    ),
    Attack(
        "set of unhashable things",
        "import inside.candidate as c\n"
        "c._answer = lambda m, s, call: {'id': call['id'], 'value': {'s': [[1]]}}\n" + WRONG,
        ("violation",),
    ),
    Attack("result too large", "def add(a, b):\n    return 'x' * (40 << 20)\n", ("exception",)),
    Attack(
        "builtins of its own",
        "def all(x):\n    return True\ndef len(x):\n    return 5\ndef abs(x):\n    return 0\n"
        "def add(a, b):\n    return [0]\n",
        ("wrong_answer",),
        test="def check(candidate):\n    assert len(candidate(2, 3)) == 5\n",
    ),
    Attack(
        "lying number and text",
        "class N(int):\n    def __eq__(self, o): return True\n    __hash__ = int.__hash__\n"
        "    def __int__(self): return 5\n    def __index__(self): return 5\n"
        "def add(a, b):\n    return N(0)\n",
        ("wrong_answer",),
    ),
    Attack(
        "lying metaclass",
        "class M(type):\n    def __instancecheck__(c, x): return True\n"
        "class E(metaclass=M):\n    def __eq__(self, o): return True\n    __hash__ = None\n"
        "    @property\n    def __class__(self): return int\n"
        "def add(a, b):\n    return E()\n",
        ("wrong_answer", "exception"),
    ),
    Attack(
        "dictionary whose items lie",
        "class D(dict):\n    def items(self): return [('a', 1)]\n    def __iter__(self): return iter('a')\n"
        "    def keys(self): return ['a']\ndef add(a, b):\n    return D()\n",
        ("wrong_answer",),
        test="def check(candidate):\n    assert candidate(2, 3) == {'a': 1}\n",
    ),
    Attack(
        "endless value for the grader",
        "def add(a, b):\n    return range(10 ** 15)\n",
        ("timeout", "memory_limit", "wrong_answer"),
        test="def check(candidate):\n    assert len(list(candidate(2, 3))) == 5\n",
    ),
    Attack("exit status of an engine", "import os\nos._exit(125)\n", ("early_exit",)),
    Attack("signal status of its own making", "import os\nos._exit(159)\n", ("violation",)),
    Attack(
        "another program in its place",
        "import os, sys\ndef add(a, b):\n    os.execv(sys.executable, [sys.executable, '-c', ''])\n",
        ("early_exit", "exception"),
    ),
    Attack(
        "child that answers in its parent's place",
        "import os\ndef add(a, b):\n    if os.fork():\n        os.wait()\n        return 0\n    return a + b\n",
        ("wrong_answer",),
    ),
    Attack(
        "kills everything it can",
        "import os, signal\ndef add(a, b):\n    os.kill(-1, signal.SIGKILL)\n    return a + b\n",
        ("early_exit", "exception", "passed"),
    ),
    Attack(
        "stops itself",
        "import os, signal\ndef add(a, b):\n    os.kill(os.getpid(), signal.SIGSTOP)\n",
        ("timeout",),
        limits=Limits(cpu_seconds=2, wall_seconds=3.0),
    ),
    Attack(
        "chain of children",
        "import os\ndef add(a, b):\n    if os.fork() == 0:\n        while os.fork() == 0:\n"
        "            pass\n        os._exit(0)\n    return a + b\n",
        ("passed", "exception", "early_exit"),
    ),
    Attack(
        "changes the mode of a host file",
        "import os\ntry:\n    os.chmod('{{CANARY}}', 0)\nexcept OSError:\n    pass\n" + HONEST,
        ("passed",),
    ),
    Attack(
        "limits of the evaluator",
        "import os, resource\ntry:\n    resource.prlimit({{VICTIM_PID}}, resource.RLIMIT_AS, (0, 0))\n"
        "    print('LEAK:prlimit')\nexcept (OSError, ValueError):\n    pass\n" + HONEST,
        ("passed",),
    ),
    Attack(
        "datagram",
        "import socket\ntry:\n    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "    s.sendto(b'x', ('127.0.0.1', {{UDP_PORT}}))\nexcept OSError:\n    pass\n" + HONEST,
        ("passed",),
    ),
    Attack(
        "abstract socket",
        "import socket\ntry:\n    s = socket.socket(socket.AF_UNIX)\n"
        "    s.connect('\\0{{ABSTRACT_SOCK}}')\nexcept OSError:\n    pass\n" + HONEST,
        ("passed",),
    ),
    Attack(
        "raw system calls",
        RAW + "import platform\nx86 = platform.machine() == 'x86_64'\n"
        "calls = {'socket': (41, 198), 'unshare': (272, 97), 'ptrace': (101, 117), 'shmget': (29, 194),\n"
        "         'bpf': (321, 280), 'io_uring_setup': (425, 425), 'clone3': (435, 435),\n"
        "         'keyctl': (250, 219), 'mount': (165, 40)}\n"
        "def add(a, b):\n"
        "    got = [n for n, c in calls.items() if not denied(c[0] if x86 else c[1], 0, 0, 0, 0, 0, 0)]\n"
        "    user = denied(56 if x86 else 220, 0x10000000 | 17, 0, 0, 0, 0)\n"
        "    return a + b if not got and user else str(got)\n",
        ("passed",),
    ),
    Attack(
        "system calls of another architecture",
        RAW + "def add(a, b):\n    libc.syscall(0x40000000 + 39)\n    return a + b\n",
        ("violation", "passed"),
    ),
    Attack(
        "a thousand folders deep",
        "import os\ndef add(a, b):\n    for _ in range(1000):\n        os.mkdir('{{MARK}}')\n"
        "        os.chdir('{{MARK}}')\n    open('f', 'w').write('x')\n    return a + b\n",
        ("passed", "exception", "violation"),
    ),
    Attack(
        "files that no folder shows",
        "import os, tempfile, time\nkept = []\ndef add(a, b):\n    for _ in range(12):\n"
        "        f = tempfile.TemporaryFile()\n        f.write(bytes(10 << 20))\n        f.flush()\n"
        "        kept.append(f)\n    time.sleep(1)\n    print('SEEN:', flush=True)\n    return 0\n",
        ("violation", "exception", "wrong_answer"),
        gap=OPEN_FILES_HIDE,
    ),
    Attack(
        "memory over many processes",
        "import os, time\ndef add(a, b):\n    for _ in range(5):\n        if os.fork() == 0:\n"
        "            x = b'x' * (700 << 20)\n            time.sleep(9)\n            os._exit(0)\n"
        "    time.sleep(8)\n    return a + b\n",
        ("memory_limit",),
        limits=Limits(),
    ),
    Attack(
        "flood from a child after the answer",
        "import os\ndef add(a, b):\n    if os.fork() == 0:\n        while True:\n"
        "            os.write(2, b'x' * 65536)\n    return a + b\n",
        ("passed", "output_limit"),
    ),
    Attack(
        "walks to the home folder through its own descriptors",
        "import os\nfound = []\nfor fd in range(64):\n    for up in ('..', '../..', '../../..', '../../../..'):\n"
        "        try:\n            found += os.listdir(os.open(up, os.O_RDONLY, dir_fd=fd))\n"
        "        except OSError:\n            pass\n"
        "def add(a, b):\n    return a + b if not {'.bashrc', '.ssh', '.cache'} & set(found) else str(found)\n",
        ("passed",),
    ),
]


ANSWER = """
import inside.candidate as c
def answer(record):
    c._answer = lambda module, store, call: {**record, "id": call["id"]}
"""
HELLO = """
import inside.candidate as c
write = c.wire.write_frame
def hello(record):
    c.wire.write_frame = lambda fd, frame: write(fd, record if "defined" in frame else frame)
"""
HOARD = """
import os, socket, sys, time
kept = []
def fill(path, mib=15):
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(mib):
        os.write(fd, bytes(1 << 20))
    return fd
"""
LOOP = "def check(f):\n    for got, want in zip(map(f, [1, 2], [2, 3]), [3, 5]):\n        assert got == want\n"
SENTINEL = "def check(f):\n    calls = iter(lambda: f(2, 3), None)\n    assert all(n == 5 for n, _ in zip(calls, 'ab'))\n"
LONG = "'x' * ((32 << 20) - 200)"
FILLED = """
rest = '{"raised":{"FIELD":""},"id":"0123456789abcdef"}'
answer({"raised": {"FIELD": "x" * (c.wire.MAX_FRAME_BYTES - len(rest))}})
"""
TOWARDS = """
import socket
pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
def try_all(*acts):
    for act in acts:
        try:
            act()
            print("LEAK:sent")
        except OSError:
            pass
"""
INPROC = FRAMES + "import time\n"


def _raised(**fields: str) -> str:
    record = ", ".join(f"{name!r}: {value}" for name, value in fields.items())
    return ANSWER + f"answer({{'raised': {{{record}}}}})\n" + WRONG


NOT_COUNTED_OUT = [
    *(
        Attack(
            f"exception whose {field} fills the frame",
            ANSWER + FILLED.replace("FIELD", field) + WRONG,
            ("exception",),
        )
        for field in ("missing_module", "name", "text")
    ),
    Attack("exception whose name is a list", _raised(name="[[]] * 9"), ("violation",)),
    Attack(
        "exception that is no record", ANSWER + "answer({'raised': 5})\n" + WRONG, ("violation",)
    ),
    Attack("leaves with a record", ANSWER + "answer({'left': {'a': 1}})\n" + WRONG, ("violation",)),
    Attack(
        "endless syntax error",
        HELLO + f"hello({{'syntax': {LONG}}})\n",
        ("syntax_error",),
    ),
    Attack(
        "a million names",
        HELLO
        + WRONG
        + "hello({'defined': {**{str(n): True for n in range(10**6)}, 'add': True}})\n",
        ("wrong_answer",),
    ),
    Attack(
        "ten million lists for the grader",
        HELLO
        + "lists = '[' + '[],' * 10**7 + '[]]'\nc.wire._dump = lambda v, dump=c.wire._dump: (\n"
        "    '{\"id\":\"' + v['id'] + '\",\"value\":' + lists + '}' if 'id' in v else dump(v))\n"
        + WRONG,
        ("violation", "memory_limit", "wrong_answer"),
    ),
    Attack(
        "numbers that meet in a set",
        ANSWER
        + "answer({'value': {'s': [{'i': hex(n * (2**61 - 1))} for n in range(1, 10**5)]}})\n"
        + WRONG,
        ("timeout", "wrong_answer"),
        limits=Limits(cpu_seconds=1, wall_seconds=30.0),
    ),
    Attack(
        "a number too long to write down",
        ANSWER + "answer({'value': {'D': '1e999999999'}})\n" + WRONG,
        ("wrong_answer",),
    ),
    Attack(
        "answers twice",
        "import inside.candidate as c\nsend = c._send\n"
        "def twice(outlet, process, answer):\n    send(outlet, process, answer)\n"
        "    send(outlet, process, {**answer, 'value': 5})\nc._send = twice\n" + HONEST,
        ("violation",),
    ),
    Attack(
        "hangs up and stays",
        "import os, time\ndef add(a, b):\n    os.closerange(3, 64)\n    time.sleep(60)\n",
        ("early_exit",),
    ),
    Attack(
        "starves the machine before the tests are up",
        "import os\nfor _ in range(30):\n    if os.fork() == 0:\n        while True:\n            pass\n"
        + WRONG,
        ("wrong_answer", "exception", "timeout"),
        limits=Limits(cpu_seconds=1, wall_seconds=20.0),
    ),
]

LEAVES_EARLY = [
    *(
        Attack(
            f"{name} within a map of the tests", f"def add(a, b):\n    raise {name}\n", ends, LOOP
        )
        for name, ends in (
            ("StopIteration", ("exception",)),
            ("StopAsyncIteration", ("exception",)),
            ("SystemExit(0)", ("early_exit",)),
            ("GeneratorExit", ("early_exit",)),
            ("KeyboardInterrupt", ("early_exit",)),
        )
    ),
    Attack(
        "StopIteration of a class of its own",
        "class S(StopIteration):\n    pass\ndef add(a, b):\n    raise S\n",
        ("exception",),
        LOOP,
    ),
    Attack(
        "StopIteration that only the frame names",
        _raised(name="'StopIteration'", base="'StopIteration'", is_builtin="True"),
        ("exception",),
        LOOP,
    ),
    Attack(
        "StopIteration within an iterator with a sentinel",
        "def add(a, b):\n    return next(iter(()))\n",
        ("exception",),
        SENTINEL,
    ),
    Attack(
        "tests that leave on a wrong answer",
        WRONG,
        ("wrong_answer",),
        "import sys\ndef check(f):\n    if f(2, 3) != 5:\n        sys.exit(0)\n",
    ),
]

IN_ONE_PROCESS = [
    Attack(f"one process: {name}", INPROC + source, ends, test, grading="inproc")
    for name, source, ends, test in (
        (
            "calls that are no number",
            "send({'outcome': 'passed', 'detail': '', 'calls': 'x'})\ntime.sleep(2)\n" + WRONG,
            ("violation",),
            ADD,
        ),
        (
            "fields that are lists",
            "send({'outcome': [], 'detail': [], 'calls': [], 'phase': {}})\ntime.sleep(2)\n"
            + WRONG,
            ("violation",),
            ADD,
        ),
        (
            "forged set-up failure",
            "send({'setup': 'broken'})\ntime.sleep(2)\n" + WRONG,
            ("violation",),
            ADD,
        ),
        (
            "forged failure of the sandbox",
            "send({'outcome': 'infra_error', 'detail': '', 'phase': '', 'calls': 0})\ntime.sleep(2)\n"
            + WRONG,
            ("violation",),
            ADD,
        ),
        (
            "confirms again",
            "send({'stage': 'confined'})\ntime.sleep(2)\n" + WRONG,
            ("violation",),
            ADD,
        ),
        (
            "a verdict that never ends",
            "body = b'\\xff' * (1 << 20)\nfor fd in range(3, 64):\n    try:\n        for _ in range(9):\n"
            "            os.write(fd, body)\n    except OSError:\n        pass\n" + WRONG,
            ("violation",),
            ADD,
        ),
        (
            "a verdict that is no JSON",
            "for fd in range(3, 64):\n"
            "    try:\n        os.write(fd, b'\\0\\0\\0\\1{')\n    except OSError:\n        pass\n"
            "time.sleep(2)\n" + WRONG,
            ("violation",),
            ADD,
        ),
        ("leaves without a word", "def add(a, b):\n    os._exit(0)\n", ("early_exit",), ADD),
        (
            "an exit of its own class",
            "class E(BaseException):\n    pass\ndef add(a, b):\n    raise E\n",
            ("early_exit",),
            ADD,
        ),
        ("StopIteration", "def add(a, b):\n    raise StopIteration\n", ("wrong_answer",), LOOP),
    )
]

ROOM = [
    Attack(
        "memory without a name",
        HOARD
        + "def add(a, b):\n    for n in range(20):\n        kept.append(os.memfd_create('x'))\n"
        "        os.write(kept[-1], bytes(15 << 20))\n    return a + b\n",
        ("exception",),
    ),
    Attack(
        "memory that nobody who lives has touched",
        "import mmap, os, time\ninlet, outlet = os.pipe()\ndef add(a, b):\n    for _ in range(4):\n"
        "        if os.fork() == 0:\n            m = mmap.mmap(-1, 700 << 20)\n"
        "            if os.fork() == 0:\n                for n in range(0, len(m), 1 << 20):\n"
        "                    m[n:n + (1 << 20)] = bytes(1 << 20)\n                os._exit(0)\n"
        "            os.wait()\n            os.write(outlet, b'x')\n            time.sleep(9)\n"
        "            os._exit(0)\n        os.read(inlet, 1)\n    time.sleep(3)\n    return a + b\n",
        ("memory_limit",),
        limits=Limits(),
    ),
    Attack(
        "memory in ten thousand pieces",
        "import mmap, os, time\ndef add(a, b):\n    for _ in range(4):\n        if os.fork() == 0:\n"
        "            kept = [mmap.mmap(-1, 64 << 10) for _ in range(10000)]\n"
        "            for m in kept:\n                m.write(bytes(64 << 10))\n"
        "            time.sleep(9)\n            os._exit(0)\n    time.sleep(8)\n    return a + b\n",
        ("memory_limit", "violation"),
        limits=Limits(),
    ),
    Attack(
        "files from many processes",
        HOARD + "def add(a, b):\n    for n in range(8):\n        if os.fork() == 0:\n"
        "            for m in range(4):\n                fill(f'{n}-{m}')\n            time.sleep(9)\n"
        "            os._exit(0)\n    time.sleep(4)\n    return str(os.statvfs('.').f_blocks)\n",
        ("violation", "wrong_answer"),
    ),
    Attack(
        "files below a path that is too long",
        HOARD + "def add(a, b):\n    for _ in range(25):\n        os.mkdir('d' * 200)\n"
        "        os.chdir('d' * 200)\n    for n in range(20):\n        os.close(fill(str(n)))\n"
        "    time.sleep(1)\n    return a + b\n",
        ("violation", "exception"),
    ),
    Attack(
        "files in a folder that may not be read",
        HOARD + "def add(a, b):\n    os.mkdir('closed', 0o300)\n    for n in range(20):\n"
        "        os.close(fill(f'closed/{n}'))\n    time.sleep(1)\n    return a + b\n",
        ("violation", "exception"),
    ),
    Attack(
        "five thousand folders",
        "import os, time\ndef add(a, b):\n    for n in range(5000):\n        os.makedirs(str(n), exist_ok=True)\n"
        "    time.sleep(1)\n    return a + b\n",
        ("violation", "passed"),
    ),
    Attack(
        "removed files in flight between two sockets",
        HOARD
        + "import array\npair = socket.socketpair()\ndef add(a, b):\n    for n in range(20):\n"
        "        fd = fill('f')\n        os.unlink('f')\n"
        "        pair[0].sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))])\n"
        "        os.close(fd)\n    time.sleep(1)\n    return a + b\n",
        ("exception",),
    ),
    Attack(
        "removed files of a process that hides",
        HOARD + RAW + "dumpable = 157 if os.uname().machine == 'x86_64' else 167\ndef add(a, b):\n"
        "    if not denied(dumpable, 4, 0):\n        print('LEAK:hidden')\n    for n in range(20):\n"
        "        kept.append(fill('f'))\n        os.unlink('f')\n    time.sleep(1)\n"
        "    print('SEEN:', flush=True)\n    return 0\n",
        ("violation", "exception", "wrong_answer"),
        gap=OPEN_FILES_HIDE,
    ),
    Attack(
        "removed files that are only mapped",
        HOARD + RAW + "libc.mmap.restype = ctypes.c_void_p\n"
        "libc.mmap.argtypes = [ctypes.c_void_p, *[ctypes.c_size_t] * 2, *[ctypes.c_int] * 2, ctypes.c_long]\n"
        "def add(a, b):\n    for n in range(20):\n        fd = fill('f')\n        os.unlink('f')\n"
        "        assert libc.mmap(None, 4096, 1, 1, fd, 0) not in (None, 2**64 - 1)\n        os.close(fd)\n"
        "    time.sleep(1)\n    print('SEEN:', flush=True)\n    return 0\n",
        ("violation", "exception", "wrong_answer"),
        gap=MAPPED_FILES_HIDE,
    ),
    Attack(
        "an interpreter of its own that may not be read",
        HOARD + "import shutil\ndef add(a, b):\n    with open(sys.executable, 'rb') as source:\n"
        "        text = source.read(15 << 20)\n    fd = os.open('python', os.O_WRONLY | os.O_CREAT, 0o111)\n"
        "    os.write(fd, text)\n    os.close(fd)\n"
        "    os.execv('./python', ['python', '-c', 'import time; time.sleep(60)'])\n",
        ("exception", "early_exit"),
    ),
]

REACH = [
    Attack(
        "datagram from a pair to a path",
        TOWARDS
        + "def to():\n    pair[0].sendto(b'x', '{{UNIX_DATAGRAM}}')\ntry_all(to)\n"
        + HONEST,
        ("passed",),
    ),
    Attack(
        "message from a pair to a path",
        TOWARDS
        + "def to():\n    pair[0].sendmsg([b'x'], [], 0, '{{UNIX_DATAGRAM}}')\ntry_all(to)\n"
        + HONEST,
        ("passed",),
    ),
    Attack(
        "another partner for a pair",
        TOWARDS + "def to():\n    pair[0].connect('{{UNIX_DATAGRAM}}')\n    pair[0].send(b'x')\n"
        "try_all(to)\n" + HONEST,
        ("passed",),
    ),
    Attack(
        "many messages by a raw call",
        RAW
        + "import platform, socket\npair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "class Vec(ctypes.Structure):\n    _fields_ = [('base', ctypes.c_char_p), ('size', ctypes.c_size_t)]\n"
        "class Msg(ctypes.Structure):\n    _fields_ = [('name', ctypes.c_char_p), ('namelen', ctypes.c_uint),\n"
        "        ('vec', ctypes.POINTER(Vec)), ('n', ctypes.c_size_t), ('control', ctypes.c_void_p),\n"
        "        ('size', ctypes.c_size_t), ('flags', ctypes.c_int), ('sent', ctypes.c_uint)]\n"
        "name = b'\\x01\\0' + b'{{UNIX_DATAGRAM}}' + b'\\0'\nvec = Vec(b'x', 1)\n"
        "msg = Msg(name, len(name), ctypes.pointer(vec), 1, None, 0, 0, 0)\n"
        "number = 307 if platform.machine() == 'x86_64' else 269\n"
        "if not denied(number, pair[0].fileno(), ctypes.byref(msg), 1, 0):\n    print('LEAK:sent')\n"
        + HONEST,
        ("passed",),
    ),
    Attack(
        "a name for a pair",
        TOWARDS + "def to():\n    pair[0].bind('\\0{{MARK}}')\n"
        "def there():\n    pair[1].bind('{{MARK}}')\ntry_all(to, there)\n" + HONEST,
        ("passed",),
    ),
    Attack(
        "pairs of other families",
        RAW + "import platform\nn = 53 if platform.machine() == 'x86_64' else 199\n"
        "two = (ctypes.c_int * 2)()\n"
        "got = [f for f in (2, 10, 16, 17, 30, 40) if not denied(n, f, 5, 0, two)]\n"
        "print('LEAK:pair' if got else '')\n" + HONEST,
        ("passed",),
    ),
    Attack(
        "watches a folder outside",
        RAW + "notes = libc.inotify_init1(0)\n"
        "if notes >= 0 and libc.inotify_add_watch(notes, b'{{CANARY_DIR}}', 0xfff) >= 0:\n"
        "    print('LEAK:inotify')\n" + HONEST,
        ("passed",),
    ),
    Attack(
        "lists a folder outside",
        "import os\ntry:\n    os.listdir('{{CANARY_DIR}}')\n    print('LEAK:list')\nexcept OSError:\n    pass\n"
        + HONEST,
        ("passed",),
    ),
    Attack(
        "asks for a file outside",
        "import os\ntry:\n    print('SEEN:', os.stat('{{SECRET_FILE}}').st_size)\nexcept OSError:\n    pass\n"
        + HONEST,
        ("passed",),
        gap=NAMES_ARE_SEEN,
    ),
    Attack(
        "asks where a link outside leads",
        "import os\ntry:\n    print('SEEN:', os.readlink('{{CANARY_DIR}}/link'))\nexcept OSError:\n    pass\n"
        + HONEST,
        ("passed",),
        gap=NAMES_ARE_SEEN,
    ),
    Attack(
        "asks for a process outside",
        "import os\ntry:\n    os.kill({{VICTIM_PID}}, 0)\n    print('LEAK:signal')\n"
        "except PermissionError:\n    print('SEEN:')\nexcept OSError:\n    pass\n" + HONEST,
        ("passed",),
        gap=NAMES_ARE_SEEN,
    ),
    Attack(
        "asks where a process outside stands",
        "import os\nfor name in ('cwd', 'exe', 'root'):\n    try:\n"
        "        os.readlink('/proc/{{VICTIM_PID}}/' + name)\n        print('LEAK:link')\n"
        "    except OSError:\n        pass\n" + HONEST,
        ("passed",),
    ),
]
ATTACKS += [*NOT_COUNTED_OUT, *LEAVES_EARLY, *IN_ONE_PROCESS, *ROOM, *REACH]


FAST = {
    "forged set-up failure",
    "forged verdict",
    "answer with another id",
    "builtins of its own",
    "exit status of an engine",
    "changes the mode of a host file",
    "limits of the evaluator",
    "raw system calls",
    "files that no folder shows",
    *(attack.name for attack in (*NOT_COUNTED_OUT[:6], *LEAVES_EARLY, *IN_ONE_PROCESS, *REACH)),
    "memory that nobody who lives has touched",
    "files below a path that is too long",
}


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(a, id=a.name, marks=[] if a.name in FAST else [pytest.mark.slow])
        for a in ATTACKS
    ],
)
def test_attack_is_contained(attack: Attack, each: SandboxBackend, yard: Yard) -> None:
    program = Program(yard.fill(attack.program), (attack.test,), "add", grading=attack.grading)
    outcome = run_all([program], each, attack.limits)[0]
    assert outcome.outcome in attack.outcomes, outcome
    assert "LEAK:" not in outcome.output_tail
    assert ("SEEN:" in outcome.output_tail) is (attack.gap in each.gaps), outcome
    assert yard.damage() == []
    segments = _shared_segments()
    assert segments == [], segments


def _shared_segments() -> list[str]:
    """System V shared memory of users that only our sandboxes have."""
    with open("/proc/sysvipc/shm", encoding="ascii") as lines:  # noqa: PTH123
        rows = [line.split() for line in lines][1:]
    return [row[1] for row in rows if int(row[7]) >= 1_200_000_000]


def _anything(random: Random, depth: int = 0) -> object:
    """A JSON value that an answer could hold: plain, tagged as a value of ours, or neither."""
    plain = (None, True, -1, 1 << 70, "", "x" * 3000, "0x", "\ud800", "StopIteration", "inf")
    if depth > 3 or random.random() < 0.4:
        return random.choice(plain)
    inner = [_anything(random, depth + 1) for _ in range(random.randrange(4))]
    if random.random() < 0.4:
        return inner
    return dict(zip(random.sample("ifucbBtdszrgkvpDqo?", len(inner)), inner, strict=True))


def _record(random: Random, names: str) -> str:
    chosen = random.sample(names.split(), random.randrange(1, 4))
    return json.dumps({name: _anything(random) for name in chosen})


ANSWERS = "value raised left unsendable after"
HELLOS = "defined syntax raised left setup confined"
VERDICTS = "outcome detail phase calls missing_module setup stage"
N_FORGED = [30, pytest.param(600, marks=pytest.mark.slow)]


@pytest.mark.parametrize("n_programs", N_FORGED)
def test_nothing_that_a_program_sends_takes_it_out_of_n(
    n_programs: int, best: SandboxBackend
) -> None:
    random = Random(n_programs)
    programs = []
    for number in range(n_programs):
        if number % 3 == 0:
            source = ANSWER + f"import json\nanswer(json.loads({_record(random, ANSWERS)!r}))\n"
        elif number % 3 == 1:
            source = HELLO + f"import json\nhello(json.loads({_record(random, HELLOS)!r}))\n"
        else:
            source = INPROC + f"send(json.loads({_record(random, VERDICTS)!r}))\ntime.sleep(2)\n"
        grading: Grading = "inproc" if number % 3 == 2 else "split"
        programs.append(Program(source + WRONG, (ADD,), "add", grading=grading))
    outcomes = run_all(programs, best, SHORT)
    found = {one.outcome for one in outcomes}
    assert not found & {"passed", "infra_error"}, found
    assert max(len(json.dumps(one.to_record())) for one in outcomes) < 64 << 10
