//! A shorter story that breaks a promise too.

use core::fmt;

use proptest::strategy::ValueTree;

use super::plan::{Options, Plan, Shape, Step, draw};
use super::{Failure, broken, run};

/// Stories told at most while one is made shorter.
const MAX_RUNS: usize = 3_000;

/// A plan that breaks a promise and in which nothing can be left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// What it breaks.
    pub failure: Box<Failure>,
    /// Stories told to find it.
    pub runs: usize,
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = &self.plan.shape;
        writeln!(f, "shortest story found, in {} runs:", self.runs)?;
        writeln!(f, "  {shape:?}")?;
        for step in &self.plan.steps {
            writeln!(f, "  after {} ms {:?}", step.after_ms, step.op)?;
        }
        write!(f, "{}", self.failure)
    }
}

/// Makes the failing story of a seed shorter; `None` if it does not fail.
///
/// Operations are left out, in large groups first and then one by one; hosts are taken away; what
/// remains is made simpler, number by number, by proptest. Each shorter story breaks the same
/// promise.
pub fn shrink(seed: u64, options: &Options) -> Option<Shrunk> {
    let first = promise(&broken(&Plan::draw(seed, options))?);
    let same = |plan: &Plan| broken(plan).is_some_and(|what| promise(&what) == first);
    let (plan, runs) = shrink_while(seed, options, same);
    let failure = run(&plan).err()?;
    Some(Shrunk {
        plan,
        failure,
        runs,
    })
}

/// The shortest plan found for which `holds` is true as it is for that of the seed, and how often it
/// was asked.
pub fn shrink_while(
    seed: u64,
    options: &Options,
    holds: impl FnMut(&Plan) -> bool,
) -> (Plan, usize) {
    let drawn = draw(seed, options);
    let mut search = Search {
        holds,
        shape: drawn.shape,
        steps: drawn.steps,
        runs: 0,
    };
    loop {
        let before = (search.steps.len(), search.shape.clone());
        search.leave_out_steps();
        search.take_hosts_away();
        if before == (search.steps.len(), search.shape.clone()) || search.is_over() {
            break;
        }
    }
    search.simplify_steps();
    (search.plan(), search.runs)
}

/// The words of a failure without its names and numbers: which promise was broken.
fn promise(what: &str) -> String {
    let words = what.split_whitespace();
    let plain = words.filter(|word| word.bytes().all(|b| b.is_ascii_alphabetic() || b == b','));
    plain.collect()
}

struct Search<F> {
    holds: F,
    shape: Shape,
    steps: Vec<Box<dyn ValueTree<Value = Step>>>,
    runs: usize,
}

impl<F: FnMut(&Plan) -> bool> Search<F> {
    fn plan(&self) -> Plan {
        Plan {
            shape: self.shape.clone(),
            steps: self.steps.iter().map(|step| step.current()).collect(),
        }
    }

    const fn is_over(&self) -> bool {
        self.runs >= MAX_RUNS
    }

    fn try_plan(&mut self, plan: &Plan) -> bool {
        self.runs += 1;
        (self.holds)(plan)
    }

    fn fails(&mut self) -> bool {
        self.try_plan(&self.plan())
    }

    /// Leaves out groups of steps, half of all at first, as long as the story still fails.
    fn leave_out_steps(&mut self) {
        let mut size = self.steps.len().div_ceil(2);
        while size > 0 && !self.is_over() {
            let mut at = 0;
            while at < self.steps.len() && !self.is_over() {
                let end = (at + size).min(self.steps.len());
                let mut plan = self.plan();
                plan.steps.drain(at..end);
                if self.try_plan(&plan) {
                    self.steps.drain(at..end);
                } else {
                    at = end;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    fn take_hosts_away(&mut self) {
        let simpler: [fn(&mut Shape); 13] = [
            |s| s.hostile = 0,
            |s| s.hostile = s.hostile.min(1),
            |s| s.gateway = false,
            |s| s.records = 0,
            |s| s.records = s.records.min(1),
            |s| s.name_server = false,
            |s| s.clients = 1,
            |s| s.clients = (s.clients - 1).max(1),
            |s| s.iocs = 1,
            |s| s.iocs = (s.iocs - 1).max(1),
            |s| s.subnets = 1,
            |s| s.cut_streams = false,
            |s| (s.send_buffer, s.read_size, s.jitter_us) = (256 << 10, 64 << 10, 0),
        ];
        for change in simpler {
            let mut plan = self.plan();
            change(&mut plan.shape);
            if plan.shape != self.shape && !self.is_over() && self.try_plan(&plan) {
                self.shape = plan.shape;
            }
        }
    }

    /// Makes the numbers of each step smaller.
    fn simplify_steps(&mut self) {
        for at in 0..self.steps.len() {
            while !self.is_over() && self.steps[at].simplify() {
                if !self.fails() {
                    // Back to one that fails; proptest goes half of the way then.
                    let mut more = true;
                    while more && !self.is_over() {
                        more = self.steps[at].complicate();
                        if self.fails() {
                            break;
                        }
                    }
                    if !more {
                        break;
                    }
                }
            }
        }
    }
}
