//! The numbers of an IOC.

use ca_proto::server::CircuitStats;
use ca_server_sim::net::SimIoc;

use super::prometheus::Page;

pub(super) fn page(ioc: &SimIoc) -> Page {
    let mut page = Page::default();
    let (stats, pvs, open) = ioc.with(|ioc, _| {
        let circuits = ioc.circuits().filter_map(|id| ioc.circuit_stats(id));
        (
            ioc.stats(),
            ioc.pv_count(),
            circuits.fold(CircuitStats::default(), sum),
        )
    });
    let help = "Whether the IOC serves.";
    page.gauge("canter_ioc_up", help, u8::from(ioc.is_running()));
    page.gauge("canter_ioc_pvs", "PVs served.", pvs);
    let help = "Open circuits (TCP connections of clients).";
    page.gauge("canter_ioc_circuits", help, stats.circuits);
    page.gauge(
        "canter_ioc_channels",
        "Channels of clients.",
        stats.channels,
    );
    let help = "Subscriptions of clients.";
    page.gauge("canter_ioc_subscriptions", help, stats.subscriptions);
    let help = "Bytes that clients make the IOC hold.";
    page.gauge("canter_ioc_held_bytes", help, stats.bytes);
    let search = &stats.search;
    let help = "Datagrams received since the IOC was started.";
    page.counter("canter_ioc_datagrams_total", help, search.datagrams);
    let help = "Names searched for.";
    page.counter("canter_ioc_searches_total", help, search.searches);
    let help = "Names answered.";
    page.counter("canter_ioc_found_total", help, search.found);
    let help = "Reply datagrams dropped because too many waited.";
    page.counter("canter_ioc_replies_dropped_total", help, search.dropped);
    let help = "Names and datagrams not looked at because of the limit on replies.";
    page.counter("canter_ioc_searches_limited_total", help, search.limited);
    let help = "Datagrams with a part that makes no sense.";
    page.counter(
        "canter_ioc_datagrams_malformed_total",
        help,
        search.malformed,
    );
    page.counter("canter_ioc_beacons_total", "Beacons sent.", search.beacons);
    // These go down when a client leaves.
    let help = "Messages received on the circuits that are open.";
    page.gauge("canter_ioc_open_requests", help, open.requests);
    let help = "Updates sent on the circuits that are open.";
    page.gauge("canter_ioc_open_updates_sent", help, open.updates_sent);
    let help = "Updates of the circuits that are open whose place a newer one took.";
    page.gauge(
        "canter_ioc_open_updates_replaced",
        help,
        open.updates_replaced,
    );
    let limits = stats.limits.iter();
    let met = limits.map(|(limit, times)| (limit.setting(), times));
    let help = "Times that clients met a limit.";
    let name = ("canter_ioc_limits_met_total", "counter");
    let mut by_setting = std::collections::BTreeMap::new();
    for (setting, times) in met {
        *by_setting.entry(setting).or_insert(0) += times;
    }
    page.labelled(name, help, "limit", by_setting);
    page
}

const fn sum(mut all: CircuitStats, one: CircuitStats) -> CircuitStats {
    all.requests += one.requests;
    all.updates_sent += one.updates_sent;
    all.updates_replaced += one.updates_replaced;
    all
}
