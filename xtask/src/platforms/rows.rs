//! The platforms, and what is asked of each.

/// A platform other than the one that everything is developed on.
#[derive(Debug)]
pub(crate) struct Platform {
    /// As people call it, and as `--only` finds it.
    pub name: &'static str,
    /// As compilers call it.
    pub target: &'static str,
    /// The linker, if something is linked.
    pub linker: Option<Need>,
    /// What runs its programs here.
    pub runner: Runner,
    /// In the order in which they are run, so that the cheap and telling one comes first.
    pub jobs: &'static [Job],
}

/// A program that has to be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    pub program: &'static str,
    /// The package of Debian that has it.
    pub package: &'static str,
}

/// How programs of a platform run on this one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Runner {
    /// They do not: they are compiled only.
    Nothing,
    /// As they are.
    Here,
    /// Under qemu, with the C library of the platform below this folder.
    Qemu(Need, &'static str),
    /// Under Wine.
    Wine(Need),
}

impl Runner {
    /// For the column "how".
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::Nothing => "compiled",
            Self::Here => "run",
            Self::Qemu(..) => "run under qemu-user",
            Self::Wine(_) => "run under Wine",
        }
    }
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Core,
    Client,
    Ioc,
    Tools,
}

impl Part {
    pub(crate) const ALL: [Self; 4] = [Self::Core, Self::Client, Self::Ioc, Self::Tools];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Client => "client",
            Self::Ioc => "IOC",
            Self::Tools => "tools",
        }
    }
}

/// One thing asked of a platform.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    pub part: Part,
    pub work: Work,
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// `cargo check` with these arguments.
    Check(&'static [&'static str]),
    /// `cargo test` with these arguments.
    Test(&'static [&'static str]),
    /// The tools: the demo, and each as a client of the other's IOC.
    Talk,
    /// The same in a release build, with its size and how soon it starts.
    Measure,
}

const fn check(part: Part, args: &'static [&'static str]) -> Job {
    Job {
        part,
        work: Work::Check(args),
    }
}

const fn test(part: Part, args: &'static [&'static str]) -> Job {
    Job {
        part,
        work: Work::Test(args),
    }
}

const CORE: Job = test(Part::Core, &["-p", "ca-proto", "--tests"]);
/// On real sockets of the loopback interface. What counts bytes and allocations is left out: those figures belong to
/// machines of 64 bits.
const CLIENT: Job = test(
    Part::Client,
    &[
        "-p",
        "ca-client",
        "--test",
        "loopback",
        "--test",
        "blocking",
        "--test",
        "keys",
        "--test",
        "simulated",
    ],
);
const IOC: Job = test(
    Part::Ioc,
    &[
        "-p",
        "ca-server-sim",
        "--test",
        "net",
        "--test",
        "fields",
        "--test",
        "records",
        "--test",
        "operation",
        "--test",
        "reference",
    ],
);
const TOOLS: Job = Job {
    part: Part::Tools,
    work: Work::Talk,
};
const RUN: &[Job] = &[CORE, TOOLS, CLIENT, IOC];
/// Tools depend on everything, so one call compiles it all.
const COMPILE: &[Job] = &[
    check(Part::Core, &["-p", "ca-proto"]),
    check(Part::Client, &["-p", "ca-client"]),
    check(Part::Ioc, &["-p", "ca-server-sim", "--all-features"]),
    check(Part::Tools, &["-p", "canter"]),
];

const fn compiled(name: &'static str, target: &'static str, jobs: &'static [Job]) -> Platform {
    Platform {
        name,
        target,
        linker: None,
        runner: Runner::Nothing,
        jobs,
    }
}

const fn qemu(
    name: &'static str,
    target: &'static str,
    gcc: [&'static str; 2],
    qemu: &'static str,
    root: &'static str,
) -> Platform {
    Platform {
        name,
        target,
        linker: Some(Need {
            program: gcc[0],
            package: gcc[1],
        }),
        runner: Runner::Qemu(
            Need {
                program: qemu,
                package: "qemu-user",
            },
            root,
        ),
        jobs: RUN,
    }
}

/// All of them, those first that CI looks at.
pub(crate) const PLATFORMS: &[Platform] = &[
    compiled(
        "bare metal",
        "thumbv7em-none-eabi",
        &[check(
            Part::Core,
            &["-p", "ca-proto", "--no-default-features"],
        )],
    ),
    compiled(
        "WebAssembly",
        "wasm32-unknown-unknown",
        &[
            check(Part::Core, &["-p", "ca-proto"]),
            check(Part::Ioc, &["-p", "ca-server-sim", "--no-default-features"]),
        ],
    ),
    qemu(
        "Linux s390x (big-endian)",
        "s390x-unknown-linux-gnu",
        ["s390x-linux-gnu-gcc", "gcc-s390x-linux-gnu"],
        "qemu-s390x",
        "/usr/s390x-linux-gnu",
    ),
    qemu(
        "Linux i686 (32-bit)",
        "i686-unknown-linux-gnu",
        ["i686-linux-gnu-gcc", "gcc-i686-linux-gnu"],
        "qemu-i386",
        "/usr/i686-linux-gnu",
    ),
    qemu(
        "Linux armv7 (32-bit)",
        "armv7-unknown-linux-gnueabihf",
        ["arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf"],
        "qemu-arm",
        "/usr/arm-linux-gnueabihf",
    ),
    Platform {
        name: "Windows x86_64",
        target: "x86_64-pc-windows-gnu",
        linker: Some(Need {
            program: "x86_64-w64-mingw32-gcc",
            package: "gcc-mingw-w64-x86-64-posix",
        }),
        runner: Runner::Wine(Need {
            program: "wine",
            package: "wine",
        }),
        jobs: RUN,
    },
    Platform {
        name: "Linux x86_64, static (musl)",
        target: "x86_64-unknown-linux-musl",
        linker: Some(Need {
            program: "musl-gcc",
            package: "musl-tools",
        }),
        runner: Runner::Here,
        jobs: &[
            CORE,
            Job {
                part: Part::Tools,
                work: Work::Measure,
            },
            CLIENT,
            IOC,
        ],
    },
    compiled("Linux aarch64", "aarch64-unknown-linux-gnu", COMPILE),
    compiled("macOS aarch64", "aarch64-apple-darwin", COMPILE),
    compiled("macOS x86_64", "x86_64-apple-darwin", COMPILE),
    compiled("FreeBSD x86_64", "x86_64-unknown-freebsd", COMPILE),
];
