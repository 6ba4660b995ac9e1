//! What peers make a server hold, in bytes.
//!
//! Each circuit has an account, and so has the address it comes from: what is charged to the one is
//! charged to the other. Tables are charged with the memory that they have allocated, values with
//! their size after conversion. A buffer that several circuits hold, such as an array that is on its
//! way to many clients, is charged in full to each: whoever lets it go last need not take over what
//! others have paid for.

use alloc::sync::Arc;
use bytes::Bytes;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::held::PUT_BYTES;
use super::limit::Limit;
use super::subscriptions::INDEXED_BYTES;
use crate::config::ServerParams;

/// What a driver has of a circuit beside its output: a task, the rest of a received chunk (64 KiB), and
/// what a socket needs.
const DRIVER: usize = 80 * 1024;
/// Queues of small replies that a circuit can have: one that is filled and one that is being sent,
/// each up to the high-water mark, in buffers that grow by doubling.
const QUEUES: usize = 4;

/// Bytes that a circuit can be charged beyond the limits of its account and of its address, because they are
/// not asked for before: its first put-notify, which mostly is done at once and costs nothing, and the index of
/// a channel that gets many subscriptions. Everything else is within the limits or refused; a queued
/// update takes the place of an older one.
pub const ALLOWANCE: usize = 8 * 1024;

const _: () = assert!(PUT_BYTES + INDEXED_BYTES <= ALLOWANCE / 4 * 3);

/// What every circuit costs.
const fn base(params: &ServerParams) -> usize {
    DRIVER + QUEUES * params.send_high_water
}

/// Bytes held for a circuit or for an address, and how many there may be.
///
/// Charges are made where the server is locked; they may be given back anywhere.
#[derive(Debug)]
pub struct Account {
    limit: Limit,
    most: usize,
    used: AtomicUsize,
    /// The limit that the last refused charge would have exceeded: 1 + its number.
    refused: AtomicUsize,
    parent: Option<Arc<Self>>,
}

impl Account {
    const fn new(limit: Limit, most: usize, parent: Option<Arc<Self>>) -> Self {
        Self {
            limit,
            most,
            used: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            parent,
        }
    }

    /// The account of an address ([`ServerParams::max_bytes_per_host`]).
    pub fn of_host(params: &ServerParams) -> Arc<Self> {
        Arc::new(Self::new(Limit::HostBytes, params.max_bytes_per_host, None))
    }

    /// The account of a circuit from this address ([`ServerParams::max_bytes_per_circuit`]), charged
    /// with what every circuit costs.
    ///
    /// # Errors
    /// The limit that leaves no room for it.
    pub fn of_circuit(params: &ServerParams, host: &Arc<Self>) -> Result<Arc<Self>, Limit> {
        let account = Self::unpaid(params, host);
        account.afford(base(params))?;
        account.charge(base(params));
        Ok(Arc::new(account))
    }

    /// As [`of_circuit`](Self::of_circuit), whatever the limits say.
    pub(super) fn alone(params: &ServerParams) -> Arc<Self> {
        let account = Self::unpaid(params, &Self::of_host(params));
        account.charge(base(params));
        Arc::new(account)
    }

    fn unpaid(params: &ServerParams, host: &Arc<Self>) -> Self {
        let most = params.max_bytes_per_circuit;
        Self::new(Limit::CircuitBytes, most, Some(Arc::clone(host)))
    }

    /// A part of this account with a limit of its own.
    pub(super) fn part(self: &Arc<Self>, limit: Limit, most: usize) -> Arc<Self> {
        Arc::new(Self::new(limit, most, Some(Arc::clone(self))))
    }

    /// Bytes that are held.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Whether so many bytes more are within all limits.
    ///
    /// # Errors
    /// The limit that they would exceed.
    pub fn afford(&self, bytes: usize) -> Result<(), Limit> {
        if bytes > self.most.saturating_sub(self.used()) {
            return Err(self.limit);
        }
        match &self.parent {
            Some(parent) => parent.afford(bytes),
            None => Ok(()),
        }
    }

    /// Whether what is held is within all limits.
    pub(super) fn within(&self) -> Result<(), Limit> {
        if self.used() > self.most {
            return Err(self.limit);
        }
        self.parent
            .as_ref()
            .map_or(Ok(()), |parent| parent.within())
    }

    /// Charges what is held already.
    pub(super) fn charge(&self, bytes: usize) {
        self.used.fetch_add(bytes, Relaxed);
        if let Some(parent) = &self.parent {
            parent.charge(bytes);
        }
    }

    /// Gives back what was charged.
    pub(super) fn refund(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
        if let Some(parent) = &self.parent {
            parent.refund(bytes);
        }
    }

    /// Charges bytes until the result is dropped.
    ///
    /// # Errors
    /// The limit that they would exceed; nothing is charged then.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> Result<Charge, Limit> {
        match self.afford(bytes) {
            Ok(()) => Ok(self.hold_anyway(bytes)),
            Err(limit) => {
                self.refused.store(1 + limit as usize, Relaxed);
                Err(limit)
            }
        }
    }

    /// The limit that the last refused charge would have exceeded, once.
    pub(super) fn take_refusal(&self) -> Option<Limit> {
        match self.refused.swap(0, Relaxed) {
            0 => None,
            number => Limit::ALL.get(number - 1).copied(),
        }
    }

    /// As [`hold`](Self::hold) for what is held already.
    pub(super) fn hold_anyway(self: &Arc<Self>, bytes: usize) -> Charge {
        self.charge(bytes);
        Charge {
            account: Arc::clone(self),
            bytes,
        }
    }
}

/// What is left, such as the base of a circuit, goes back to the address.
impl Drop for Account {
    fn drop(&mut self) {
        if let Some(parent) = &self.parent {
            parent.refund(self.used());
        }
    }
}

/// Bytes charged to an [`Account`] for as long as this exists.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Charge {
    /// The number of bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a part out, to be given back by itself.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            account: Arc::clone(&self.account),
            bytes,
        }
    }

    /// Data that are charged until the last part of them is dropped.
    pub(super) fn on<T: AsRef<[u8]> + Send + 'static>(self, data: T) -> Bytes {
        Bytes::from_owner(Charged {
            data,
            _charge: self,
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.refund(self.bytes);
    }
}

struct Charged<T> {
    data: T,
    _charge: Charge,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Charged<T> {
    fn as_ref(&self) -> &[u8] {
        self.data.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_to_a_circuit_is_charged_to_its_address() {
        let params = ServerParams::default()
            .send_high_water(0)
            .max_bytes_per_circuit(DRIVER + 100)
            .max_bytes_per_host(2 * DRIVER + 150);
        let host = Account::of_host(&params);
        let a = Account::of_circuit(&params, &host).unwrap();
        let b = Account::of_circuit(&params, &host).unwrap();
        assert_eq!(a.hold(101).unwrap_err(), Limit::CircuitBytes);
        let held = a.hold(100).unwrap();
        assert_eq!(b.hold(51).unwrap_err(), Limit::HostBytes);
        assert_eq!(
            Account::of_circuit(&params, &host).err(),
            Some(Limit::HostBytes)
        );
        let puts = b.part(Limit::WaitingPuts, 20);
        assert_eq!(puts.hold(21).unwrap_err(), Limit::WaitingPuts);
        let other = puts.hold(20).unwrap();
        assert_eq!((b.used(), host.used()), (DRIVER + 20, 2 * DRIVER + 120));
        drop((held, other, puts, b));
        assert_eq!(host.used(), DRIVER);
        drop(a);
        assert_eq!(host.used(), 0);
    }

    /// The driver drops what it has sent, or the circuit may be gone before.
    #[test]
    fn shared_data_are_charged_until_their_last_part_is_dropped() {
        let params = ServerParams::default();
        let host = Account::of_host(&params);
        let circuit = Account::of_circuit(&params, &host).unwrap();
        let base = host.used();
        let data = circuit.hold(1000).unwrap().on(alloc::vec![7; 1000]);
        let part = data.slice(10..20);
        drop(data);
        assert_eq!(host.used(), base + 1000);
        drop(circuit);
        assert_eq!(host.used(), base + 1000);
        assert_eq!(part, [7; 10][..]);
        drop(part);
        assert_eq!(host.used(), 0);
    }
}
