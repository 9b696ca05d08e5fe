"""Attacks on what the corpus leaves out: the frames, the grader, the accounting, raw system calls."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sandbox.yard import Yard
from tuneval.sandbox import Limits, Program, SandboxBackend, run_all

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
        ("passed", "exception"),
    ),
    Attack(
        "files that no folder shows",
        "import os, tempfile, time\nkept = []\ndef add(a, b):\n    for _ in range(12):\n"
        "        f = tempfile.TemporaryFile()\n        f.write(bytes(10 << 20))\n        f.flush()\n"
        "        kept.append(f)\n    time.sleep(1)\n    return a + b\n",
        ("violation", "exception"),
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
}


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(a, id=a.name, marks=[] if a.name in FAST else [pytest.mark.slow])
        for a in ATTACKS
    ],
)
def test_attack_is_contained(attack: Attack, each: SandboxBackend, yard: Yard) -> None:
    program = Program(yard.fill(attack.program), (attack.test,), "add")
    outcome = run_all([program], each, attack.limits)[0]
    assert outcome.outcome in attack.outcomes, outcome
    assert "LEAK:" not in outcome.output_tail
    assert yard.damage() == []
    segments = _shared_segments()
    assert segments == [], segments


def _shared_segments() -> list[str]:
    """System V shared memory of users that only our sandboxes have."""
    with open("/proc/sysvipc/shm", encoding="ascii") as lines:  # noqa: PTH123
        rows = [line.split() for line in lines][1:]
    return [row[1] for row in rows if int(row[7]) >= 1_200_000_000]
