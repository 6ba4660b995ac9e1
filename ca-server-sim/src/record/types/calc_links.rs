//! What the records of the calc module share that tell whether their links are connected.

use std::time::Duration;

use ca_proto::wire::message::EventMask;

use crate::process::Cx;

/// How long a record waits before it looks again whether links to other IOCs are connected.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Links that follow each other, and the fields that tell of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    pub(super) first: u16,
    /// `Ext PV NC`, `Ext PV OK`, `Local PV`, `Constant`
    pub(super) state: u16,
    pub(super) count: u16,
    /// Who is told of another state.
    pub(super) mask: EventMask,
}

impl Links {
    const DISCONNECTED: u16 = 0;
    const CONNECTED: u16 = 1;
    const LOCAL: u16 = 2;
    const CONSTANT: u16 = 3;

    /// Whether a state is that of a link through which values come.
    pub(super) const fn is_connected(state: u16) -> bool {
        matches!(state, Self::CONNECTED | Self::LOCAL)
    }

    /// Looks at one, and tells of it if it is another state; whether it waits to be connected.
    pub(super) fn look_at(self, cx: &mut Cx<'_>, n: u16) -> bool {
        let link = self.first + n;
        let state = if cx.is_constant(link) {
            Self::CONSTANT
        } else if cx.is_local(link) {
            Self::LOCAL
        } else if cx.linked_dbf(link).is_some() {
            Self::CONNECTED
        } else {
            Self::DISCONNECTED
        };
        if cx.u16(self.state + n) != state {
            cx.set_u16(self.state + n, state);
            cx.post(self.state + n, self.mask);
        }
        state == Self::DISCONNECTED
    }

    /// Looks at all, and again after a time if one waits to be connected.
    pub(super) fn look(self, cx: &mut Cx<'_>) {
        let waiting = (0..self.count).filter(|&n| self.look_at(cx, n)).count();
        if waiting > 0 {
            cx.call_back(LOOK_AGAIN);
        }
    }

    /// The same for those that lead to other IOCs, if there are such.
    pub(super) fn look_at_others(self, cx: &mut Cx<'_>) {
        if (0..self.count).any(|n| cx.u16(self.state + n) < Self::LOCAL) {
            self.look(cx);
        }
    }
}

/// Whether a record writes, by its choice of OOPT and its values before and now.
pub(super) fn writes(oopt: u16, old: f64, new: f64, mdel: f64) -> bool {
    match oopt {
        0 => true,
        1 => (old - new).abs() > mdel,
        2 => new == 0.0,
        3 => new != 0.0,
        4 => old != 0.0 && new == 0.0,
        5 => old == 0.0 && new != 0.0,
        _ => false,
    }
}
