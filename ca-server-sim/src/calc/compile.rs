//! From text to steps: operators wait until those that bind tighter are done.

use super::words::{Follower, Opener, Priority, TIGHTEST, follower, opener, skip_blanks};
use super::{CalcError, CalcErrorKind, DEPTH, Expression, MAX_TEXT, Many, Op, Target};

impl Expression {
    /// Understands a text.
    ///
    /// # Errors
    /// Says what is wrong, and at which byte of the text.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, CalcError> {
        let text = text.as_ref();
        let error = |kind, at| Err(CalcError { kind, at });
        if text.is_empty() {
            return error(CalcErrorKind::Empty, 0);
        }
        if text.len() > MAX_TEXT {
            return error(CalcErrorKind::TooDeep, MAX_TEXT);
        }
        let mut compiler = Compiler::default();
        let mut rest = skip_blanks(text);
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            match compiler.word(rest) {
                Ok(behind) => rest = skip_blanks(behind),
                Err(kind) => return error(kind, at),
            }
        }
        match compiler.finish() {
            Ok(code) => Ok(Self { code }),
            Err(kind) => error(kind, text.len()),
        }
    }

    /// The arguments that are read before they were assigned to: bit 0 for `A`.
    pub fn reads(&self) -> u32 {
        let mut stored = 0;
        let mut reads = 0;
        for op in &self.code {
            match op {
                Op::Fetch(index) => reads |= (1 << index) & !stored,
                Op::Store(index) => stored |= 1 << index,
                _ => {}
            }
        }
        reads
    }

    /// Looks at where the code is, so that it is at hand when it is evaluated.
    #[inline]
    pub(crate) fn touch(&self) -> usize {
        usize::from(matches!(self.code.first(), Some(Op::Fetch(_))))
    }

    /// The arguments that are assigned to: bit 0 for `A`.
    pub fn stores(&self) -> u32 {
        let stored = |op: &Op| match op {
            Op::Store(index) => 1 << index,
            _ => 0,
        };
        self.code.iter().map(stored).fold(0, |all, one| all | one)
    }
}

/// What waits until its operands are complete.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// With the commas seen so far.
    Paren(u16),
    Op(Op, Priority),
    /// A function of many numbers, and how many it has: 1 unless parentheses say more.
    Many(Many, u16),
    /// The end of what stands behind a `:`.
    Branch,
}

#[derive(Default)]
struct Compiler {
    code: Vec<Op>,
    /// Ends of branches, behind the operation of this index.
    ends: Vec<usize>,
    waiting: Vec<Waiting>,
    /// Numbers on the stack while this part is evaluated.
    depth: i32,
    /// `?` without `:` so far.
    conditions: u32,
    has_operand: bool,
}

type Step = Result<(), CalcErrorKind>;

impl Compiler {
    /// Takes the first word of the text and returns what is left.
    fn word<'a>(&mut self, text: &'a [u8]) -> Result<&'a [u8], CalcErrorKind> {
        let rest = if self.has_operand {
            let (rest, word) = follower(text)?;
            self.follow(word)?;
            rest
        } else {
            let (rest, word) = opener(text)?;
            self.open(word);
            rest
        };
        match self.depth {
            ..0 => Err(CalcErrorKind::Underflow),
            depth if depth >= DEPTH as i32 => Err(CalcErrorKind::TooDeep),
            _ => Ok(rest),
        }
    }

    fn open(&mut self, word: Opener) {
        match word {
            Opener::Number(number) => self.operand(Op::Number(number)),
            Opener::Value => self.operand(Op::Value),
            Opener::Random => self.operand(Op::Random),
            Opener::Argument(index) => self.operand(Op::Fetch(index)),
            Opener::Paren => self.waiting.push(Waiting::Paren(0)),
            Opener::Unary(unary) => self.waiting.push(Waiting::Op(Op::Unary(unary), TIGHTEST)),
            Opener::Two(binary) => self.waiting.push(Waiting::Op(Op::Binary(binary), TIGHTEST)),
            Opener::Many(many) => self.waiting.push(Waiting::Many(many, 1)),
        }
    }

    fn operand(&mut self, op: Op) {
        self.code.push(op);
        self.depth += 1;
        self.has_operand = true;
    }

    fn follow(&mut self, word: Follower) -> Step {
        match word {
            Follower::Binary(binary, priority) => {
                self.emit_from(priority);
                self.waiting.push(Waiting::Op(Op::Binary(binary), priority));
            }
            Follower::Close => return self.close(),
            Follower::Comma => *self.emit_to_paren(CalcErrorKind::Comma)? += 1,
            Follower::If => {
                self.emit_from(1);
                self.code.push(Op::Unless(None));
                self.depth -= 1;
                self.conditions += 1;
            }
            Follower::Else => {
                self.emit_from(1);
                self.code.push(Op::Jump(None));
                self.depth -= 1;
                self.conditions = self
                    .conditions
                    .checked_sub(1)
                    .ok_or(CalcErrorKind::Conditional)?;
                self.waiting.push(Waiting::Branch);
            }
            Follower::Assign => self.assign()?,
            Follower::End => self.end_part()?,
        }
        self.has_operand = false;
        Ok(())
    }

    fn assign(&mut self) -> Step {
        let Some(Op::Fetch(index)) = self.code.pop() else {
            return Err(CalcErrorKind::Assignment);
        };
        if !self.waiting.is_empty() {
            return Err(CalcErrorKind::Assignment);
        }
        self.waiting.push(Waiting::Op(Op::Store(index), 0));
        self.depth -= 1;
        Ok(())
    }

    fn close(&mut self) -> Step {
        let commas = *self.emit_to_paren(CalcErrorKind::NotOpen)?;
        self.waiting.pop();
        if let Some(Waiting::Many(_, count)) = self.waiting.last_mut() {
            *count = commas + 1;
        }
        Ok(())
    }

    /// Emits what waits above the innermost `(` and gives the commas in it.
    fn emit_to_paren(&mut self, none: CalcErrorKind) -> Result<&mut u16, CalcErrorKind> {
        while let Some(waiting) = self
            .waiting
            .pop_if(|last| !matches!(last, Waiting::Paren(_)))
        {
            self.emit(waiting);
        }
        match self.waiting.last_mut() {
            Some(Waiting::Paren(commas)) => Ok(commas),
            _ => Err(none),
        }
    }

    /// Emits what binds at least as tightly as this.
    fn emit_from(&mut self, priority: Priority) {
        let tighter = |last: &mut Waiting| match last {
            Waiting::Op(_, own) => *own >= priority,
            Waiting::Many(..) => true,
            Waiting::Paren(_) | Waiting::Branch => false,
        };
        while let Some(waiting) = self.waiting.pop_if(tighter) {
            self.emit(waiting);
        }
    }

    fn emit(&mut self, waiting: Waiting) {
        match waiting {
            Waiting::Op(op, _) => {
                self.code.push(op);
                // What is assigned to has left the stack at its `:=`.
                self.depth -= i32::from(matches!(op, Op::Binary(_)));
                self.depth -= i32::from(matches!(op, Op::Store(_)));
            }
            Waiting::Many(many, count) => {
                // Deeper than the stack: refused after this word.
                self.code
                    .push(Op::Many(many, u8::try_from(count).unwrap_or(u8::MAX)));
                self.depth -= i32::from(count) - 1;
            }
            Waiting::Branch => self.ends.push(self.code.len()),
            Waiting::Paren(_) => {}
        }
    }

    fn emit_all(&mut self) -> Step {
        while let Some(waiting) = self.waiting.pop() {
            if let Waiting::Paren(_) = waiting {
                return Err(CalcErrorKind::StillOpen);
            }
            self.emit(waiting);
        }
        Ok(())
    }

    fn end_part(&mut self) -> Step {
        self.emit_all()?;
        if self.conditions != 0 {
            return Err(CalcErrorKind::Conditional);
        }
        if self.depth > 1 {
            return Err(CalcErrorKind::TooMany);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Box<[Op]>, CalcErrorKind> {
        self.emit_all()?;
        if self.conditions != 0 {
            return Err(CalcErrorKind::Conditional);
        }
        if !self.has_operand || self.depth != 1 {
            return Err(CalcErrorKind::Incomplete);
        }
        self.connect();
        Ok(self.code.into_boxed_slice())
    }

    /// Tells each `?` where its `:` is, and each `:` where its branch ends.
    fn connect(&mut self) {
        let mut ifs: Vec<usize> = Vec::new();
        let mut elses: Vec<usize> = Vec::new();
        let mut ends = std::mem::take(&mut self.ends).into_iter().peekable();
        for at in 0..=self.code.len() {
            while ends.next_if_eq(&at).is_some() {
                if let Some(Op::Jump(target)) = elses.pop().and_then(|at| self.code.get_mut(at)) {
                    *target = place(at);
                }
            }
            match self.code.get(at) {
                Some(Op::Unless(_)) => ifs.push(at),
                Some(Op::Jump(_)) => {
                    if let Some(Op::Unless(target)) = ifs.pop().and_then(|at| self.code.get_mut(at))
                    {
                        *target = place(at + 1);
                    }
                    elses.push(at);
                }
                _ => {}
            }
        }
    }
}

/// No code is longer than [`MAX_TEXT`].
fn place(at: usize) -> Target {
    u16::try_from(at).ok()
}
