"""The system call filter, as the bytes of a BPF program. Not for installing it (see ``confine``)
and never loaded in a sandbox: the evaluator hands the bytes over.

A second layer: what it does not name is allowed. Denied calls fail with EPERM, ``clone3`` with
ENOSYS so that the C library falls back to ``clone``, whose flags a filter can read.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterable

_ALLOW, _EPERM, _ENOSYS, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
_LOAD, _JUMP_EQ, _JUMP_GE, _JUMP_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1, _ARGUMENT_4 = 0, 4, 16, 24, 48
"""Offsets in the kernel's ``struct seccomp_data`` (the low half of a 64-bit argument)."""

AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_CALLS = 0x40000000
_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: both push characters into a terminal."""

_UNIX_DOMAIN = 1
_SET_DUMPABLE = 4
"""Option of ``prctl``: it would hide a process's descriptors and mappings from the evaluator."""

_TABLE = """
socket 41 198
connect 42 203
bind 49 200
sendmsg 46 211
sendmmsg 307 269
memfd_create 319 279
memfd_secret 447 447
inotify_init 253 -
inotify_init1 294 26
inotify_add_watch 254 27
ptrace 101 117
process_vm_readv 310 270
process_vm_writev 311 271
process_madvise 440 440
process_mrelease 448 448
pidfd_getfd 438 438
kcmp 312 272
move_pages 279 239
migrate_pages 256 238
mount 165 40
umount2 166 39
open_tree 428 428
move_mount 429 429
fsopen 430 430
fsconfig 431 431
fsmount 432 432
fspick 433 433
mount_setattr 442 442
open_tree_attr 467 467
statmount 457 457
listmount 458 458
chroot 161 51
pivot_root 155 41
unshare 272 97
setns 308 268
add_key 248 217
request_key 249 218
keyctl 250 219
bpf 321 280
perf_event_open 298 241
userfaultfd 323 282
io_uring_setup 425 425
io_uring_enter 426 426
io_uring_register 427 427
create_module 174 -
init_module 175 105
finit_module 313 273
delete_module 176 106
kexec_load 246 104
kexec_file_load 320 294
reboot 169 142
swapon 167 224
swapoff 168 225
acct 163 89
quotactl 179 60
quotactl_fd 443 443
syslog 103 116
fanotify_init 300 262
fanotify_mark 301 263
vhangup 153 58
lookup_dcookie 212 18
ioperm 173 -
iopl 172 -
uselib 134 -
sethostname 170 161
setdomainname 171 162
settimeofday 164 170
clock_settime 227 112
clock_adjtime 305 266
adjtimex 159 171
personality 135 92
name_to_handle_at 303 264
open_by_handle_at 304 265
shmget 29 194
shmat 30 196
shmctl 31 195
shmdt 67 197
semget 64 190
semop 65 193
semctl 66 191
semtimedop 220 192
msgget 68 186
msgsnd 69 189
msgrcv 70 188
msgctl 71 187
mq_open 240 180
mq_unlink 241 181
mq_timedsend 242 182
mq_timedreceive 243 183
mq_notify 244 184
mq_getsetattr 245 185
"""
"""Of sockets, pairs are left: they can be given no other partner (``sendmsg`` takes an address that
a filter cannot see, and hides open files on the way). Memory has no name and no descriptor."""
_WITHOUT_PID_NAMESPACE = """
setsid 112 157
setpgid 109 154
"""
"""All that a program starts stays in its process group, which one signal ends."""
_WITHOUT_OWN_UID = """
setpriority 141 140
ioprio_set 251 30
sched_setaffinity 203 122
sched_setscheduler 144 119
sched_setparam 142 118
sched_setattr 314 274
chmod 90 -
fchmod 91 52
fchmodat 268 53
fchmodat2 452 452
chown 92 -
fchown 93 55
lchown 94 -
fchownat 260 54
utime 132 -
utimes 235 -
futimesat 261 -
utimensat 280 88
truncate 76 45
setxattr 188 5
lsetxattr 189 6
fsetxattr 190 7
setxattrat 463 463
removexattr 197 14
lremovexattr 198 15
fremovexattr 199 16
removexattrat 466 466
"""
"""Landlock does not cover attributes, and other processes and files of the same user are in reach."""
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_SOCKETPAIR = {"x86_64": 53, "aarch64": 199}
_SENDTO = {"x86_64": 44, "aarch64": 206}
_PRCTL = {"x86_64": 157, "aarch64": 167}
_IOCTL = {"x86_64": 16, "aarch64": 29}
_PRLIMIT = {"x86_64": 302, "aarch64": 261}


def here(*, has_pid_namespace: bool, has_own_uid: bool) -> bytes | None:
    """The filter for this machine; None where there is no table, or no Linux."""
    if sys.platform != "linux":
        return None
    machine = os.uname().machine
    return program(machine, has_pid_namespace=has_pid_namespace, has_own_uid=has_own_uid)


def program(machine: str, *, has_pid_namespace: bool, has_own_uid: bool) -> bytes | None:
    """Build the filter for ``machine`` (as ``os.uname`` names it); None if there is no table."""
    if machine not in AUDIT:
        return None
    denied = _TABLE
    denied += "" if has_pid_namespace else _WITHOUT_PID_NAMESPACE
    denied += "" if has_own_uid else _WITHOUT_OWN_UID
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQ, 1, 0, AUDIT[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        lines += [(_JUMP_GE, 0, 1, _X32_CALLS), (_RETURN, 0, 0, _KILL)]
    lines += _answer(_EPERM, _numbers(denied, machine))
    lines += _answer(_ENOSYS, [_CLONE3])
    lines += _answer_argument(_CLONE[machine], _ARGUMENT_0, [(_JUMP_ANY, 0, 1, _NAMESPACES)])
    # Limits of another process (argument 0 is not "myself").
    lines += _answer_argument(_PRLIMIT[machine], _ARGUMENT_0, [(_JUMP_EQ, 1, 0, 0)])
    lines += _answer_argument(_SOCKETPAIR[machine], _ARGUMENT_0, [(_JUMP_EQ, 1, 0, _UNIX_DOMAIN)])
    for half in (0, 4):  # of the address, which must be none
        lines += _answer_argument(_SENDTO[machine], _ARGUMENT_4 + half, [(_JUMP_EQ, 1, 0, 0)])
    lines += _answer_argument(_PRCTL[machine], _ARGUMENT_0, [(_JUMP_EQ, 0, 1, _SET_DUMPABLE)])
    for request in _TERMINAL_INPUT:
        lines += _answer_argument(_IOCTL[machine], _ARGUMENT_1, [(_JUMP_EQ, 0, 1, request)])
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _numbers(table: str, machine: str) -> list[int]:
    column = 1 if machine == "x86_64" else 2
    cells = [line.split() for line in table.split("\n") if line]
    return [int(cell[column]) for cell in cells if cell[column] != "-"]


_Line = tuple[int, int, int, int]


def _answer(action: int, numbers: Iterable[int]) -> list[_Line]:
    lines: list[_Line] = []
    for number in numbers:
        lines += [(_JUMP_EQ, 0, 1, number), (_RETURN, 0, 0, action)]
    return lines


def _answer_argument(number: int, argument: int, test: list[_Line]) -> list[_Line]:
    """EPERM for call ``number`` if ``test`` on the argument falls through; else go on, with the
    call's number loaded again."""
    body = [(_LOAD, 0, 0, argument), *test, (_RETURN, 0, 0, _EPERM), (_LOAD, 0, 0, _NUMBER)]
    return [(_JUMP_EQ, 0, len(body), number), *body]
