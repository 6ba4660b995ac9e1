//! The axis that a `motor` record moves: positions in steps, times in seconds.

use crate::record::{Array, Val};

/// How often a moving axis tells where it is.
pub(super) const PERIOD: f64 = 0.1;

/// Clocks that count in nanoseconds are this exact.
pub(super) const ROUNDING: f64 = 1e-6;

/// What it is doing.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Motion {
    Idle,
    /// To a position, and at its end home is there.
    Move { target: f64, home: bool },
    /// With a velocity, until it is stopped.
    Jog,
}

/// An axis.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Axis {
    motion: Motion,
    /// When the motion began, where and how fast.
    since: f64,
    from: f64,
    start_velocity: f64,
    base: f64,
    velocity: f64,
    acceleration: f64,
    /// Where its home switch is.
    home: f64,
    low: f64,
    high: f64,
    homed: bool,
    /// It last moved forward.
    pub forward: bool,
    /// It has something to tell.
    pub told: bool,
    /// When it is asked next, and when the readback has settled (DLY).
    pub poll: f64,
    pub delay: f64,
}

/// Where an axis is, and what it does there.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Status {
    pub position: f64,
    pub velocity: f64,
    pub done: bool,
    pub at_home: bool,
    pub homed: bool,
    pub at_low: bool,
    pub at_high: bool,
}

impl Axis {
    /// At rest.
    pub(super) const fn at(position: f64) -> Self {
        Self {
            motion: Motion::Idle,
            since: 0.0,
            from: position,
            start_velocity: 0.0,
            base: 0.0,
            velocity: 0.0,
            acceleration: 0.0,
            home: 0.0,
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
            homed: false,
            forward: true,
            told: false,
            poll: f64::INFINITY,
            delay: f64::INFINITY,
        }
    }

    /// Where its limit switches are.
    pub(super) fn limit(&mut self, (low, high): (Option<f64>, Option<f64>)) {
        self.low = low.unwrap_or(f64::NEG_INFINITY);
        self.high = high.unwrap_or(f64::INFINITY);
    }

    /// Base speed, speed and acceleration of the next motion.
    pub(super) fn set_speed(&mut self, base: f64, velocity: f64, acceleration: f64) {
        self.base = base.abs();
        self.velocity = velocity.abs().max(self.base);
        self.acceleration = acceleration.abs();
    }

    fn begin(&mut self, now: f64, motion: Motion) {
        let status = self.status(now);
        self.since = now;
        self.from = status.position;
        self.start_velocity = status.velocity;
        self.motion = motion;
        self.told = false;
        self.poll = now + PERIOD;
        if let Some(left) = self.left(now) {
            self.poll = now + left.min(PERIOD);
        }
    }

    /// Moves to a position.
    pub(super) fn move_to(&mut self, now: f64, target: f64) {
        self.forward = target >= self.status(now).position;
        self.begin(now, Motion::Move { target, home: false });
    }

    /// Searches the home switch.
    pub(super) fn search_home(&mut self, now: f64) {
        self.forward = self.home >= self.status(now).position;
        let target = self.home;
        self.begin(now, Motion::Move { target, home: true });
    }

    /// Moves with this velocity, which may be below 0.
    pub(super) fn jog(&mut self, now: f64, velocity: f64, acceleration: f64) {
        self.forward = velocity >= 0.0;
        self.begin(now, Motion::Jog);
        self.velocity = velocity;
        self.acceleration = acceleration.abs();
    }

    /// Stops, as fast as it can.
    pub(super) fn stop(&mut self, now: f64) {
        if self.status(now).done {
            return self.ask(now);
        }
        self.begin(now, Motion::Jog);
        self.velocity = 0.0;
        if let Some(left) = self.left(now) {
            self.poll = now + left.min(PERIOD);
        }
    }

    /// Calls its position another one.
    pub(super) fn set_position(&mut self, now: f64, position: f64) {
        let shift = position - self.status(now).position;
        self.motion = Motion::Idle;
        self.from = position;
        for place in [&mut self.home, &mut self.low, &mut self.high] {
            *place += shift;
        }
        self.ask(now);
    }

    /// Wants to know where it is.
    pub(super) fn ask(&mut self, now: f64) {
        self.poll = now;
    }

    /// Time is due: whether there is something to tell.
    pub(super) fn poll(&mut self, now: f64) -> bool {
        if now < self.poll - ROUNDING {
            return false;
        }
        self.told = true;
        let status = self.status(now);
        if status.done {
            self.poll = f64::INFINITY;
            self.settle(status);
        } else {
            self.poll = now + self.left(now).map_or(PERIOD, |left| left.min(PERIOD));
        }
        true
    }

    /// The motion is over.
    fn settle(&mut self, status: Status) {
        if self.motion == Motion::Idle {
            return;
        }
        self.from = status.position;
        if let Motion::Move { target, home: true } = self.motion
            && status.position == target
        {
            // The controller counts from the switch on.
            for place in [&mut self.low, &mut self.high] {
                *place -= target;
            }
            (self.from, self.home) = (0.0, 0.0);
            self.homed = true;
        }
        self.motion = Motion::Idle;
        self.start_velocity = 0.0;
    }

    /// Seconds until the motion ends by itself.
    fn left(&self, now: f64) -> Option<f64> {
        let duration = match self.motion {
            Motion::Idle => return None,
            Motion::Move { target, .. } => self.ramp(target).2,
            Motion::Jog if self.velocity == 0.0 => self.speeding(),
            Motion::Jog => return None,
        };
        Some((self.since + duration - now).max(0.0))
    }

    /// Of a move: how long it speeds up, its top speed, and how long it takes in all.
    fn ramp(&self, target: f64) -> (f64, f64, f64) {
        let distance = (target - self.from).abs();
        let (base, top, acceleration) = (self.base, self.velocity, self.acceleration);
        if top == 0.0 {
            return (0.0, 0.0, 0.0);
        }
        if acceleration == 0.0 || top <= base {
            return (0.0, top, distance / top);
        }
        let up = (top - base) / acceleration;
        let ramps = (top + base) * up;
        if ramps <= distance {
            return (up, top, 2.0 * up + (distance - ramps) / top);
        }
        let top = (base * base + acceleration * distance).sqrt();
        let up = (top - base) / acceleration;
        (up, top, 2.0 * up)
    }

    /// How long it takes to reach the velocity of a jog.
    fn speeding(&self) -> f64 {
        let change = (self.velocity - self.start_velocity).abs();
        if self.acceleration == 0.0 { 0.0 } else { change / self.acceleration }
    }

    fn moving(&self, now: f64) -> (f64, f64, bool) {
        let time = (now - self.since).max(0.0);
        match self.motion {
            Motion::Idle => (self.from, 0.0, true),
            Motion::Move { target, .. } => {
                let (up, top, duration) = self.ramp(target);
                // What is left of the last step is none.
                if time >= duration - 1e-9 {
                    return (target, 0.0, true);
                }
                let covered = |time: f64| self.base * time + self.acceleration * time * time / 2.0;
                let sign = if target < self.from { -1.0 } else { 1.0 };
                let (distance, velocity) = if time < up {
                    (covered(time), self.base + self.acceleration * time)
                } else if time > duration - up {
                    let rest = duration - time;
                    let all = (target - self.from).abs();
                    (all - covered(rest), self.base + self.acceleration * rest)
                } else {
                    (covered(up) + (time - up) * top, top)
                };
                (self.from + sign * distance, sign * velocity, false)
            }
            Motion::Jog => {
                let speeding = self.speeding();
                let ramp = time.min(speeding);
                let sign = if self.velocity < self.start_velocity { -1.0 } else { 1.0 };
                let at_ramp = self.start_velocity * ramp + sign * self.acceleration * ramp * ramp / 2.0;
                let done = self.velocity == 0.0 && time >= speeding - 1e-9;
                let velocity = if time >= speeding {
                    self.velocity
                } else {
                    self.start_velocity + sign * self.acceleration * ramp
                };
                (self.from + at_ramp + (time - ramp) * self.velocity, velocity, done)
            }
        }
    }

    /// Where it is now.
    pub(super) fn status(&self, now: f64) -> Status {
        let (position, velocity, done) = self.moving(now);
        let at_low = position <= self.low;
        let at_high = position >= self.high;
        let stopped = at_low && velocity < 0.0 || at_high && velocity > 0.0;
        // Limits may be no numbers.
        let position = position.max(self.low).min(self.high);
        Status {
            position,
            velocity: if stopped { 0.0 } else { velocity },
            done: done || stopped,
            at_home: (position - self.home).abs() < 0.5,
            homed: self.homed,
            at_low,
            at_high,
        }
    }

    /// As a value of a field.
    pub(super) fn store(&self) -> Val {
        let (kind, target) = match self.motion {
            Motion::Idle => (0.0, 0.0),
            Motion::Move { target, home } => (if home { 2.0 } else { 1.0 }, target),
            Motion::Jog => (3.0, 0.0),
        };
        let flag = |flag: bool| f64::from(u8::from(flag));
        Val::from(Array::Double(vec![
            kind,
            target,
            self.since,
            self.from,
            self.start_velocity,
            self.base,
            self.velocity,
            self.acceleration,
            self.home,
            self.low,
            self.high,
            flag(self.homed),
            flag(self.forward),
            flag(self.told),
            self.poll,
            self.delay,
        ]))
    }

    /// From a value that [`Self::store`] made.
    pub(super) fn load(val: &Val) -> Self {
        let Val::Array(all) = val else {
            return Self::at(0.0);
        };
        let number = |place| all.get(place).map_or(0.0, |val: Val| val.as_f64());
        let target = number(1);
        Self {
            motion: match number(0) as u8 {
                1 => Motion::Move { target, home: false },
                2 => Motion::Move { target, home: true },
                3 => Motion::Jog,
                _ => Motion::Idle,
            },
            since: number(2),
            from: number(3),
            start_velocity: number(4),
            base: number(5),
            velocity: number(6),
            acceleration: number(7),
            home: number(8),
            low: number(9),
            high: number(10),
            homed: number(11) != 0.0,
            forward: number(12) != 0.0,
            told: number(13) != 0.0,
            poll: number(14),
            delay: number(15),
        }
    }
}
