//! From text to steps: operators wait until those that bind tighter are done.

use super::words::{Follower, Opener, Priority, TIGHTEST, follower, opener, skip_blanks};
use super::{
    CalcError, CalcErrorKind, Dialect, Expression, MAX_TEXT, MAX_UNTILS, Op, Target, Word,
};

impl Expression {
    /// Understands a text, of the language of EPICS Base.
    ///
    /// # Errors
    /// Says what is wrong, and at which byte of the text.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, CalcError> {
        Self::parse_as(Dialect::Numbers, text.as_ref())
    }

    /// Understands a text, of the language of [texts](super::texts).
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_texts(text: impl AsRef<[u8]>) -> Result<Self, CalcError> {
        Self::parse_as(Dialect::Texts, text.as_ref())
    }

    /// Understands a text, of the language of [arrays](super::arrays).
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_arrays(text: impl AsRef<[u8]>) -> Result<Self, CalcError> {
        Self::parse_as(Dialect::Arrays, text.as_ref())
    }

    fn parse_as(dialect: Dialect, text: &[u8]) -> Result<Self, CalcError> {
        let error = |kind, at| Err(CalcError { kind, at });
        if text.is_empty() {
            return error(CalcErrorKind::Empty, 0);
        }
        if text.len() > MAX_TEXT {
            return error(CalcErrorKind::TooDeep, MAX_TEXT);
        }
        let mut compiler = Compiler::new(dialect);
        let mut rest = skip_blanks(text);
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            match compiler.word(rest) {
                Ok(behind) => rest = skip_blanks(behind),
                Err(kind) => return error(kind, at),
            }
        }
        match compiler.finish() {
            Ok((code, literals)) => Ok(Self {
                dialect,
                code,
                literals,
            }),
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
    /// A function of many values, and how many it has: 1 unless parentheses say more.
    Many(Op, u16),
    /// `[` or `{`, what it does, and the commas seen so far.
    Bracket(Word, u16),
    /// The end of what stands behind a `:`.
    Branch,
    /// The end of what is repeated.
    Until,
}

struct Compiler {
    dialect: Dialect,
    code: Vec<Op>,
    literals: Vec<Box<[u8]>>,
    /// Where what is repeated begins; without it once its end is known.
    untils: Vec<Option<usize>>,
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
/// Steps, and what stands between quotes.
type Code = (Box<[Op]>, Box<[Box<[u8]>]>);

impl Compiler {
    const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            code: Vec::new(),
            literals: Vec::new(),
            untils: Vec::new(),
            ends: Vec::new(),
            waiting: Vec::new(),
            depth: 0,
            conditions: 0,
            has_operand: false,
        }
    }

    /// Takes the first word of the text and returns what is left.
    fn word<'a>(&mut self, text: &'a [u8]) -> Result<&'a [u8], CalcErrorKind> {
        let rest = if self.has_operand {
            let (rest, word) = follower(self.dialect, text)?;
            self.follow(word)?;
            rest
        } else {
            let (rest, word) = opener(self.dialect, text)?;
            self.open(word)?;
            rest
        };
        match self.depth {
            ..0 => Err(CalcErrorKind::Underflow),
            depth if depth >= self.dialect.depth() as i32 => Err(CalcErrorKind::TooDeep),
            _ => Ok(rest),
        }
    }

    fn open(&mut self, word: Opener<'_>) -> Step {
        match word {
            Opener::Number(number) => self.operand(Op::Number(number)),
            Opener::Value => self.operand(Op::Value),
            Opener::Random => self.operand(Op::Random),
            Opener::Argument(index) => self.operand(Op::Fetch(index)),
            Opener::Wide(index) => self.operand(Op::FetchWide(index)),
            Opener::Text(text) => {
                let number =
                    u8::try_from(self.literals.len()).map_err(|_| CalcErrorKind::TooDeep)?;
                self.literals.push(text.into());
                self.operand(Op::Literal(number));
            }
            Opener::Paren => self.waiting.push(Waiting::Paren(0)),
            Opener::Unary(unary) => self.function(Op::Unary(unary)),
            Opener::Two(binary) => self.function(Op::Binary(binary)),
            Opener::Word(word) if word.takes() == 0 => self.operand(Op::Word(word)),
            Opener::Word(word) => self.function(Op::Word(word)),
            Opener::Many(many) => self.waiting.push(Waiting::Many(Op::Many(many, 1), 1)),
            Opener::Fit(masked) => self.waiting.push(Waiting::Many(Op::Fit(masked, 1), 1)),
            Opener::Until => {
                let number = u8::try_from(self.untils.len()).unwrap_or(u8::MAX);
                if usize::from(number) >= MAX_UNTILS {
                    return Err(CalcErrorKind::TooDeep);
                }
                self.untils.push(Some(self.code.len()));
                self.code.push(Op::Until(number));
                self.waiting.push(Waiting::Until);
            }
        }
        Ok(())
    }

    fn function(&mut self, op: Op) {
        self.waiting.push(Waiting::Op(op, TIGHTEST));
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
            Follower::Word(word, priority) => {
                self.emit_from(priority);
                self.waiting.push(Waiting::Op(Op::Word(word), priority));
            }
            Follower::Bracket(word) => self.waiting.push(Waiting::Bracket(word, 0)),
            Follower::Close => return self.close(),
            Follower::CloseBracket => {
                return self.close_bracket(Word::Part, CalcErrorKind::BracketNotOpen);
            }
            Follower::CloseBrace => {
                return self.close_bracket(Word::Patch, CalcErrorKind::BraceNotOpen);
            }
            Follower::Comma => *self.emit_to_comma()? += 1,
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
        let larger = self.dialect != Dialect::Numbers;
        // With the larger dialects it binds a little tighter.
        let priority = Priority::from(larger);
        if larger && let Some(place) = self.waiting.iter().rposition(is_place) {
            while self.waiting.len() > place + 1 {
                match self.waiting.pop() {
                    Some(Waiting::Paren(_)) | None => return Err(CalcErrorKind::Assignment),
                    Some(waiting) => self.emit(waiting)?,
                }
            }
            let store = match self.waiting.pop() {
                Some(Waiting::Op(Op::Word(Word::FetchAt), _)) => Op::StoreAt,
                _ => Op::StoreWideAt,
            };
            self.waiting.push(Waiting::Op(store, priority));
            self.depth -= 1;
            return Ok(());
        }
        let store = match self.code.pop() {
            Some(Op::Fetch(index)) => Op::Store(index),
            Some(Op::FetchWide(index)) => Op::StoreWide(index),
            _ => return Err(CalcErrorKind::Assignment),
        };
        if !larger && !self.waiting.is_empty() {
            return Err(CalcErrorKind::Assignment);
        }
        self.waiting.push(Waiting::Op(store, priority));
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

    /// Closes the innermost bracket of this kind.
    fn close_bracket(&mut self, word: Word, none: CalcErrorKind) -> Step {
        loop {
            match self.waiting.pop() {
                Some(Waiting::Bracket(open, commas)) if open == word => {
                    return self.emit(Waiting::Bracket(open, commas));
                }
                Some(Waiting::Paren(_)) => return Err(CalcErrorKind::StillOpen),
                Some(waiting) => self.emit(waiting)?,
                None => return Err(none),
            }
        }
    }

    /// Emits what waits above the innermost `(` and gives the commas in it.
    fn emit_to_paren(&mut self, none: CalcErrorKind) -> Result<&mut u16, CalcErrorKind> {
        while let Some(waiting) = self
            .waiting
            .pop_if(|last| !matches!(last, Waiting::Paren(_)))
        {
            self.emit(waiting)?;
        }
        match self.waiting.last_mut() {
            Some(Waiting::Paren(commas)) => Ok(commas),
            _ => Err(none),
        }
    }

    /// Emits what waits above the innermost parenthesis or bracket and gives the commas in it.
    fn emit_to_comma(&mut self) -> Result<&mut u16, CalcErrorKind> {
        let inside = |last: &mut Waiting| !matches!(last, Waiting::Paren(_) | Waiting::Bracket(..));
        while let Some(waiting) = self.waiting.pop_if(inside) {
            self.emit(waiting)?;
        }
        match self.waiting.last_mut() {
            Some(Waiting::Paren(commas) | Waiting::Bracket(_, commas)) => Ok(commas),
            _ => Err(CalcErrorKind::Comma),
        }
    }

    /// Emits what binds at least as tightly as this.
    fn emit_from(&mut self, priority: Priority) {
        let tighter = |last: &mut Waiting| match last {
            Waiting::Op(_, own) => *own >= priority,
            Waiting::Many(..) => true,
            _ => false,
        };
        while let Some(waiting) = self.waiting.pop_if(tighter) {
            // Operators and functions are always emitted.
            let _ = self.emit(waiting);
        }
    }

    fn emit(&mut self, waiting: Waiting) -> Step {
        match waiting {
            Waiting::Op(op, _) => {
                self.code.push(op);
                self.depth -= match op {
                    // What is assigned to has left the stack at its `:=`.
                    Op::Store(_) | Op::StoreWide(_) | Op::StoreAt | Op::StoreWideAt => 1,
                    op => op.takes() as i32 - 1,
                };
            }
            Waiting::Many(op, count) => {
                // Deeper than the stack: refused after this word.
                let number = u8::try_from(count).unwrap_or(u8::MAX);
                self.code.push(match op {
                    Op::Many(many, _) => Op::Many(many, number),
                    Op::Fit(masked, _) => Op::Fit(masked, number),
                    op => op,
                });
                self.depth -= i32::from(count) - 1;
            }
            Waiting::Bracket(word, commas) => {
                self.code.push(Op::Word(word));
                self.depth -= i32::from(commas) + 1;
            }
            Waiting::Branch => self.ends.push(self.code.len()),
            Waiting::Until => {
                let number = self.untils.iter().rposition(Option::is_some);
                let begin = number.and_then(|number| self.untils.get_mut(number)?.take());
                let (Some(number), Some(begin)) = (number, begin) else {
                    return Err(CalcErrorKind::Incomplete);
                };
                let to = u16::try_from(begin + 1).map_err(|_| CalcErrorKind::TooDeep)?;
                self.code.push(Op::Again(number as u8, to));
            }
            Waiting::Paren(_) => {}
        }
        Ok(())
    }

    fn emit_all(&mut self) -> Step {
        while let Some(waiting) = self.waiting.pop() {
            if let Waiting::Paren(_) = waiting {
                return Err(CalcErrorKind::StillOpen);
            }
            self.emit(waiting)?;
        }
        Ok(())
    }

    fn end_part(&mut self) -> Step {
        if self.dialect != Dialect::Numbers {
            while let Some(waiting) = self
                .waiting
                .pop_if(|last| !matches!(last, Waiting::Paren(_)))
            {
                self.emit(waiting)?;
            }
            return Ok(());
        }
        self.emit_all()?;
        if self.conditions != 0 {
            return Err(CalcErrorKind::Conditional);
        }
        if self.depth > 1 {
            return Err(CalcErrorKind::TooMany);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Code, CalcErrorKind> {
        self.emit_all()?;
        if self.conditions != 0 {
            return Err(CalcErrorKind::Conditional);
        }
        if !self.has_operand || self.depth != 1 {
            return Err(CalcErrorKind::Incomplete);
        }
        self.connect();
        Ok((
            self.code.into_boxed_slice(),
            self.literals.into_boxed_slice(),
        ))
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

/// `@` or `@@`, which takes the number of what is assigned to.
const fn is_place(waiting: &Waiting) -> bool {
    matches!(
        waiting,
        Waiting::Op(Op::Word(Word::FetchAt | Word::FetchWideAt), _)
    )
}

/// No code is longer than [`MAX_TEXT`].
fn place(at: usize) -> Target {
    u16::try_from(at).ok()
}
