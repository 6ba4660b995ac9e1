//! Running a model: random schedules, then such that let few threads overtake others at few places
//! (PCT), which find orders that random ones find seldom.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

/// Schedules of each kind.
const SCHEDULES: usize = 200;
/// Places at which a PCT schedule changes who goes first.
const DEPTH: usize = 3;
/// Steps of a schedule; more are taken for a loop without end.
const MAX_STEPS: usize = 100_000;
/// Bytes; the state machines run on the stacks of the model's threads.
const STACK: usize = 512 << 10;

/// Runs a model in many orders of its threads. `CANTER_SEED` chooses others, `CANTER_SCHEDULES` their
/// number; `CANTER_SCHEDULE` with what a failure has printed repeats that one.
///
/// # Panics
/// When the model does, when its threads wait for each other, or when they do not end.
pub(crate) fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    if let Ok(schedule) = env::var("CANTER_SCHEDULE") {
        run(ReplayScheduler::new_from_encoded(&schedule), model);
        return;
    }
    let seed = number("CANTER_SEED").unwrap_or(0);
    let count = number("CANTER_SCHEDULES").map_or(SCHEDULES, |count| count as usize);
    let checked = catch_unwind(AssertUnwindSafe(|| {
        run(RandomScheduler::new_from_seed(seed, count), model);
        run(PctScheduler::new_from_seed(seed, DEPTH, count), model);
    }));
    if let Err(failure) = checked {
        eprintln!("seed {seed}; repeat it with CANTER_SCHEDULE=<the schedule above>");
        resume_unwind(failure);
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

fn run(scheduler: impl Scheduler + 'static, model: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    config.failure_persistence = FailurePersistence::Print;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(model);
}
