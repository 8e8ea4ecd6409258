# SPDX-License-Identifier: MIT
"""weft-gdb.py - the coroutines of a program, for gdb.

	weft coroutines		a line or two for each of them
	weft bt ID ...		the frames of these; "weft bt all": of all
	weft switch ID		"bt", "up", "info locals" show that coroutine;
				"weft switch" alone: the thread again

gdb loads it by itself with an installed libweft.so; with the static library:
"source .../share/weft/weft-gdb.py".  It wants the library's debug information.

It only reads memory: it works on a running process and on a core, calls
nothing in the program and writes no register.  A coroutine that does not run
is shown as the caller of the frame that the selected thread is in: that frame
is #0, the coroutine's begin at #1.  It lasts until the program goes on.

FRAME: where a parked coroutine is follows from context.sp, see asm/.
"""
import gdb
import gdb.unwinder
import re

# By gdb's names: the stack pointer, the program counter, and what is saved at
# which distance from context.sp.
FRAMES = {
    "i386:x86-64": ("rsp", "rip", {"rip": 0x10, "rbp": 0x08}),
    "aarch64": ("sp", "pc", {"pc": 0x08, "x29": 0x00}),
    "riscv:rv64": ("sp", "pc", {"pc": 0x08, "fp": 0x00}),
}
WAITING = 1             # PARK_WAITING in lib/ticket.h


def static(name, file):
    """A static variable of ours: others may have one of that name."""
    for symbol in gdb.lookup_static_symbols(name):
        if symbol.symtab.filename.replace("\\", "/").endswith("lib/" + file):
            return symbol.value()
    raise gdb.GdbError("weft: no %s: the program has no weft in it, or weft "
                       "has no debug information" % name)


def text(code):
    """<name> and the like, of an address."""
    said = gdb.execute("info symbol %#x" % code, to_string=True)
    found = re.match(r"(.+?) (?:\+ \d+ )?in section", said)
    return found.group(1) if found else "%#x" % code


def symbol_address(name):
    try:
        return int(gdb.parse_and_eval("(unsigned long)&" + name))
    except gdb.error:
        return None


def place(code):
    """Where the call before this address stands."""
    line = gdb.find_pc_line(code - 1)
    if line.symtab is None:
        return text(code - 1)
    return "%s at %s:%d" % (text(code - 1), line.symtab.filename, line.line)


class Coroutine:
    """What a record of a task says; all of it is read here, at once."""

    def __init__(self, runtime, task):
        self.id = int(task["id"])
        self.bound = int(task["bound"]) != 0
        self.park = int(task["park"])
        self.on_cpu = int(task["on_cpu"]) != 0
        self.name = ""
        self.why = ""
        self.parent = int(task["parent"])
        self.site = int(task["site"])
        ext = task["u"]["run"]["ext"]
        begin = ext if self.bound else task["u"]["begin"]
        # The main task's own function is one of ours.
        self.fn = int((begin if self.parent else runtime)["fn"])
        if not self.bound:
            return
        self.name = ext["name"].string(errors="replace")
        self.sp = int(task["u"]["run"]["ctx"]["sp"])
        stack = ext["stack"].dereference()
        self.lo, self.hi = int(stack["lo"]), int(stack["hi"])
        if self.park & WAITING:
            reasons = static("ops", "waits.c")
            at = int(ext["wait_reason"])
            last = reasons.type.range()[1]
            self.why = reasons[at].string() if at <= last else "?"
            what = int(ext["wait_obj"])
            if self.why == "signal":
                self.why += " %d" % what
            elif what and self.why != "sleep":  # whose object is a time
                self.why += " %#x" % what

    def state(self):
        if not self.bound:
            return "not begun"
        if self.park & WAITING:
            return "waiting for " + self.why
        return "running" if self.on_cpu else "runnable"

    def title(self):
        name = ' "%s"' % self.name if self.name else ""
        return "coroutine %d%s: %s, in %s" % (self.id, name, self.state(),
                                              text(self.fn))

    def origin(self):
        if self.parent == 0:
            return "the first of its runtime"
        return "spawned by %d in %s" % (self.parent, place(self.site))

    def thread(self):
        """The thread whose stack pointer is in our stack, or None."""
        was = gdb.selected_thread()
        try:
            for thread in gdb.selected_inferior().threads():
                thread.switch()
                sp = int(gdb.newest_frame().read_register("sp"))
                if self.lo <= sp < self.hi:
                    return thread
        finally:
            was.switch()
        return None


def coroutines():
    """All that there are, by id."""
    found = []
    runtime = static("runtimes", "runtime.c")
    while int(runtime):
        chunk = runtime["chunks"]
        while int(chunk):
            tasks = chunk["task"]
            for i in range(int(chunk["count"])):
                at = tasks[i]
                if int(at["id"]):
                    found.append(Coroutine(runtime.dereference(), at))
            chunk = chunk["next"]
        runtime = runtime["next"]
    return sorted(found, key=lambda c: c.id)


def coroutine(word):
    try:
        wanted = int(word, 0)
    except ValueError:
        raise gdb.GdbError("weft: %s is no id of a coroutine" % word)
    for c in coroutines():
        if c.id == wanted:
            return c
    raise gdb.GdbError("weft: no coroutine %d" % wanted)


class Caller(gdb.unwinder.Unwinder):
    """Makes a parked coroutine the caller of the thread's newest frame."""

    def __init__(self):
        super().__init__("weft")
        self.registers = None

    def show(self, c):
        """False: it has been given its stack, but no frame on it yet."""
        self.hide()
        frame = gdb.newest_frame()
        arch = frame.architecture().name()
        begin = symbol_address("co__context_begin")
        if arch not in FRAMES or begin is None:
            raise gdb.GdbError("weft: cannot tell where a coroutine is parked "
                               "on %s, or with Boost.Context" % arch)
        sp_name, pc_name, saved = FRAMES[arch]
        long = gdb.lookup_type("unsigned long")
        sp = gdb.Value(c.sp).cast(long)
        registers = {sp_name: sp}
        for name, offset in saved.items():
            at = (sp + offset).cast(long.pointer()).dereference()
            at.fetch_lazy()
            registers[name] = at
        if int(registers[pc_name]) == begin:
            return False
        self.sp = sp
        self.at = (int(frame.read_register("sp")), int(frame.pc()))
        self.registers = registers
        gdb.invalidate_cached_frames()
        return True

    def hide(self):
        if self.registers is not None:
            self.registers = None
            gdb.invalidate_cached_frames()

    def __call__(self, pending):
        if self.registers is None:
            return None
        pc = pending.read_register("pc")
        if (int(pending.read_register("sp")), int(pc)) != self.at:
            return None
        # gdb takes a caller that lies below what it called for a broken stack:
        # so this frame says that it lies right below the coroutine's.
        info = pending.create_unwind_info(FrameId(self.sp - 16, pc))
        for name, value in self.registers.items():
            info.add_saved_register(name, value)
        return info


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


caller = Caller()
gdb.unwinder.register_unwinder(None, caller, replace=True)


def went_on(event):
    caller.hide()


gdb.events.cont.connect(went_on)


def select(c):
    """Selects its newest frame; false: it has none."""
    caller.hide()
    if not c.bound:
        return False
    thread = c.thread() if c.on_cpu else None
    if thread is not None:
        thread.switch()
        gdb.newest_frame().select()
        return True
    if not caller.show(c):
        return False
    frame = gdb.newest_frame()
    while frame.type() == gdb.INLINE_FRAME:
        frame = frame.older()
    frame.older().select()
    return True


def backtrace(c):
    print(c.title())
    thread = gdb.selected_thread()
    level = gdb.selected_frame().level()
    try:
        if not select(c):
            print("    has no frames yet")
            return
        first = gdb.selected_frame().level()
        said = gdb.execute("backtrace", to_string=True)
        print(said[re.search(r"^#%d " % first, said, re.M).start():].rstrip())
    finally:
        caller.hide()
        thread.switch()
        gdb.execute("frame %d" % level, to_string=True)


class Weft(gdb.Command):
    """The coroutines of weft: "weft coroutines", "weft bt", "weft switch"."""

    def __init__(self):
        super().__init__("weft", gdb.COMMAND_STACK, prefix=True)


class List(gdb.Command):
    """weft coroutines: each coroutine, its state, and where it comes from."""

    def __init__(self):
        super().__init__("weft coroutines", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        for c in coroutines():
            print(c.title())
            print("    " + c.origin())


class Backtrace(gdb.Command):
    """weft bt ID ... | all: the frames of coroutines."""

    def __init__(self):
        super().__init__("weft bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if not words:
            raise gdb.GdbError("weft bt: ID ..., or all")
        if words == ["all"]:
            chosen = coroutines()
        else:
            chosen = [coroutine(word) for word in words]
        for c in chosen:
            backtrace(c)


class Switch(gdb.Command):
    """weft switch ID: show this coroutine; without ID: the thread again.
It ends when the program goes on."""

    def __init__(self):
        super().__init__("weft switch", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if len(words) > 1:
            raise gdb.GdbError("weft switch: one ID, or none")
        if not words:
            caller.hide()
            gdb.execute("frame 0")
            return
        c = coroutine(words[0])
        if not select(c):
            raise gdb.GdbError("weft: coroutine %d has no frames yet" % c.id)
        print(c.title())
        gdb.execute("frame")


Weft()
List()
Backtrace()
Switch()
