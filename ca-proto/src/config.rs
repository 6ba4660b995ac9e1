//! Parameters of the client and server state machines.
//!
//! Defaults are those of the reference implementation where it has the parameter. Each field has a
//! setter of the same name that takes and returns the parameters.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

/// Default UDP search and TCP server port.
pub const SERVER_PORT: u16 = 5064;

/// Default UDP port of the repeater.
pub const REPEATER_PORT: u16 = 5065;

/// Largest payload accepted when message sizes are not limited by the user, in bytes.
pub const DEFAULT_MAX_PAYLOAD: u32 = 256 << 20;

/// Lowest ceiling of the search back-off.
pub const MIN_SEARCH_PERIOD: Duration = Duration::from_secs(60);

/// Highest circuit priority.
pub const MAX_PRIORITY: u8 = 99;

/// Size in bytes that any message may have whatever the array limit.
const MIN_MESSAGE_BYTES: u32 = 16_384;

/// Size of an extended header, in bytes.
const EXTENDED_HEADER: u32 = 24;

/// Defines a parameter struct with public fields, `Default`, and one setter per field.
macro_rules! params {
    (
        $(#[$meta:meta])* $name:ident {
            $($(#[$doc:meta])+ $field:ident: $ty:ty = $default:expr $(, set $arg:ident => $set:expr)?;)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$doc])+ pub $field: $ty,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $name {
            $(
                $(#[$doc])+
                #[must_use]
                pub fn $field(mut self, $field: $ty) -> Self {
                    $(let $field = { let $arg = $field; $set };)?
                    self.$field = $field;
                    self
                }
            )+
        }
    };
}

params! {
    /// Parameters of a client context and its circuits.
    ClientParams {
        /// Destinations of UDP searches in the order of sending, from
        /// [`search_destinations`](crate::addr_list::search_destinations). Default: none.
        search_addrs: Vec<SocketAddrV4> = Vec::new();
        /// TCP name servers (EPICS_CA_NAME_SERVERS). Default: none.
        name_servers: Vec<SocketAddrV4> = Vec::new();
        /// Port of searches and of servers that do not tell theirs (EPICS_CA_SERVER_PORT). Default:
        /// 5064.
        server_port: u16 = SERVER_PORT;
        /// Port of the local repeater (EPICS_CA_REPEATER_PORT). Default: 5065.
        repeater_port: u16 = REPEATER_PORT;
        /// Silence on a circuit after which it is probed with ECHO (EPICS_CA_CONN_TMO). Default: 30
        /// s.
        connection_timeout: Duration = Duration::from_secs(30);
        /// Time for the answer to an ECHO before the circuit is unresponsive; fixed in the
        /// reference (`CA_ECHO_TIMEOUT` in `iocinf.h` of EPICS Base). Default: 5 s.
        echo_timeout: Duration = Duration::from_secs(5);
        /// Time for a TCP connect. The reference waits as long as the operating system does.
        /// Default: 5 s.
        connect_timeout: Duration = Duration::from_secs(5);
        /// Time for the answer to CREATE_CHAN before the channel is searched again. The reference
        /// waits for ever. Default: 30 s.
        create_timeout: Duration = Duration::from_secs(30);
        /// Ceiling of the search back-off (EPICS_CA_MAX_SEARCH_PERIOD); the setter raises it to at
        /// least 60 s. Default: 300 s.
        max_search_period: Duration = Duration::from_secs(300), set v => v.max(MIN_SEARCH_PERIOD);
        /// Tick of the governor that delays the search for lost channels (`disconnectGovernorTimer` of EPICS Base).
        /// Default: 10 s.
        reconnect_delay: Duration = Duration::from_secs(10);
        /// Array limit in bytes (EPICS_CA_MAX_ARRAY_BYTES with EPICS_CA_AUTO_ARRAY_BYTES=NO),
        /// `None` for automatic sizes; see [`ClientParams::max_message_bytes`]. Default: `None`.
        max_array_bytes: Option<u32> = None;
        /// Largest payload in bytes accepted with automatic sizes, a protection against broken
        /// peers. Default: 256 MiB.
        max_payload: u32 = DEFAULT_MAX_PAYLOAD;
        /// User name sent in CLIENT_NAME. Default: empty.
        user: String = String::new();
        /// Host name sent in HOST_NAME. Default: empty.
        host: String = String::new();
        /// Circuit priority of channels that ask for none, 0..=99; the setter limits it. Default:
        /// 0.
        priority: u8 = 0, set v => v.min(MAX_PRIORITY);
        /// Seed of all random choices: the same seed and inputs give the same output. Default: 0.
        rng_seed: u64 = 0;
        /// Bytes queued on a circuit from which on requests have to wait; the reference blocks its
        /// caller there too (`comQueSend::flushBlockThreshold` of EPICS Base). Default: 256 KiB.
        send_high_water: usize = 256 << 10;
        /// Refuse every write before anything is sent, acknowledgements of alarms included. Default:
        /// false.
        read_only: bool = false;
        /// Datagrams with searches in a second at most, copies to several addresses counted, with a burst of
        /// as many; what is beyond waits. 0: no limit but what answers allow (congestion control). Default:
        /// 20 000, which is 500 000 names.
        search_budget: u32 = 20_000;
        /// Time in which a server that an earlier run knew has to take the connection, and to say something
        /// then; after it the names are searched. Default: 2 s.
        hint_timeout: Duration = Duration::from_secs(2);
        /// Circuits at a time. Names found on further servers stay in the search. Default: 16 384.
        max_circuits: usize = 16_384;
        /// Circuits that are being connected at a time, so that forged search replies do not make
        /// the client dial half of the network. Names found on further servers stay in the search.
        /// Default: 1 024.
        max_dials: usize = 1_024;
    }
}

params! {
    /// Parameters of a server and its circuits.
    ServerParams {
        /// Array limit in bytes (EPICS_CA_MAX_ARRAY_BYTES with EPICS_CA_AUTO_ARRAY_BYTES=NO),
        /// `None` for automatic sizes; see [`ServerParams::max_message_bytes`]. Default: `None`.
        max_array_bytes: Option<u32> = None;
        /// Largest payload in bytes accepted with automatic sizes, a protection against broken
        /// peers. Default: 256 MiB.
        max_payload: u32 = DEFAULT_MAX_PAYLOAD;
        /// Steady pause between beacons (EPICS_CAS_BEACON_PERIOD). Default: 15 s.
        beacon_period: Duration = Duration::from_secs(15);
        /// Destinations of beacons, from
        /// [`beacon_destinations`](crate::addr_list::beacon_destinations). Default: none.
        beacon_addrs: Vec<SocketAddrV4> = Vec::new();
        /// Hosts whose UDP messages are ignored (EPICS_CAS_IGNORE_ADDR_LIST). Default: none.
        ignore_addrs: Vec<Ipv4Addr> = Vec::new();
        /// UDP search port (EPICS_CAS_SERVER_PORT). Default: 5064.
        udp_port: u16 = SERVER_PORT;
        /// TCP port that is announced; differs from the UDP port if that was taken for TCP.
        /// Default: 5064.
        tcp_port: u16 = SERVER_PORT;
        /// Entries of one event ring (`db_queue_event_log` of EPICS Base). Default: 144.
        event_ring_entries: usize = 144;
        /// Subscriptions that share one ring (`db_queue_event_log` of EPICS Base). Default: 35.
        subscriptions_per_ring: usize = 35;
        /// Entries of a ring reserved per subscription (`db_queue_event_log` of EPICS Base). Default: 4.
        entries_per_subscription: usize = 4;
        /// Free entries at or below which an update replaces the queued one of its subscription
        /// (`db_queue_event_log` of EPICS Base). Default: 36.
        replace_when_free: usize = 36;
        /// Channels of one circuit; further CREATE_CHAN requests fail. The reference has no limit
        /// but memory. Default: 1 000 000, an archiver's load.
        max_channels_per_circuit: usize = 1_000_000;
        /// Subscriptions of one circuit; further EVENT_ADD requests fail with ECA_ALLOCMEM.
        /// The reference has no limit but memory. Default: 1 000 000.
        max_subscriptions_per_circuit: usize = 1_000_000;
        /// Unfinished write-notify requests of one circuit; further ones are answered with
        /// ECA_PUTCBINPROG. Default: 65 536.
        max_pending_puts_per_circuit: usize = 65_536;
        /// Bytes of values of one circuit's write-notifies that wait behind an unfinished one of
        /// their channel or record, as they are kept: converted to the type of the record where it is
        /// the record that is busy. Further ones are answered with ECA_PUTCBINPROG. Never more than
        /// one message of the largest size. Default: 256 MiB.
        max_waiting_put_bytes: u32 = DEFAULT_MAX_PAYLOAD;
        /// Bytes that one circuit makes the server hold: its channels, subscriptions and queued
        /// updates, write-notifies that wait, messages that have come in part, and replies that are
        /// not read yet. Requests that would exceed it fail with ECA_ALLOCMEM; updates wait. Each
        /// circuit is charged with 80 KiB and four times `send_high_water` from its start.
        /// Default: 512 MiB, which an archiver with a million channels needs two thirds of.
        max_bytes_per_circuit: usize = 512 << 20;
        /// Bytes that all circuits from one IP address make the server hold; the same happens beyond,
        /// and further circuits get ECA_MAXIOC. Default: 1 GiB.
        max_bytes_per_host: usize = 1 << 30;
        /// Bytes of converted arrays that are kept after they have been sent, for further subscribers of the
        /// same update, together with the values that they were made of. Default: 64 MiB.
        max_shared_bytes: usize = 64 << 20;
        /// Bytes of a channel name, without NUL; CREATE_CHAN requests with longer ones fail.
        /// Default: 1 024, more than a datagram of a search can carry.
        max_name_bytes: usize = 1_024;
        /// Circuits from one IP address; further ones get ECA_MAXIOC and are closed. Default:
        /// 1 024, as each of the 100 priorities of each client program takes one.
        max_circuits_per_host: usize = 1_024;
        /// Circuits in total; further ones get ECA_MAXIOC and are closed. Default: 16 384.
        max_circuits: usize = 16_384;
        /// Bytes queued on a circuit from which on monitor updates stay in the event rings and no
        /// more requests are read. Default: 64 KiB.
        send_high_water: usize = 64 << 10;
        /// Time from the accepted connection to the client's VERSION; then the circuit is closed.
        /// Clients send it at once; the reference waits for ever. Default: 30 s.
        version_timeout: Duration = Duration::from_secs(30);
        /// Time in which a circuit takes nothing of what is queued for it; then it is closed, at
        /// the latest after twice this time. The reference waits for ever. Default: 60 s.
        stall_timeout: Duration = Duration::from_secs(60);
        /// Names answered to one IP address in a second over UDP; further searches are not
        /// answered, the client asks again. Default: 200 000.
        search_replies_per_second_per_host: u32 = 200_000;
        /// Names answered in a second over UDP on one interface. Default: 1 000 000.
        search_replies_per_second: u32 = 1_000_000;
    }
}

impl ClientParams {
    /// Largest message accepted from a server in bytes, header included: the array limit plus 24
    /// but at least 16384 (`rsrv_init` of EPICS Base), or [`ClientParams::max_payload`] plus 24 with
    /// automatic sizes.
    pub fn max_message_bytes(&self) -> u32 {
        max_message_bytes(self.max_array_bytes, self.max_payload)
    }
}

impl ServerParams {
    /// Largest message accepted from or sent to a client in bytes, header included: the array limit
    /// plus 24 but at least 16384 (`rsrv_init` of EPICS Base), or [`ServerParams::max_payload`] plus 24
    /// with automatic sizes.
    pub fn max_message_bytes(&self) -> u32 {
        max_message_bytes(self.max_array_bytes, self.max_payload)
    }
}

fn max_message_bytes(max_array_bytes: Option<u32>, max_payload: u32) -> u32 {
    max_array_bytes
        .unwrap_or(max_payload)
        .saturating_add(EXTENDED_HEADER)
        .max(MIN_MESSAGE_BYTES)
}
