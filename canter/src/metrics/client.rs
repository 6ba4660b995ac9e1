//! The numbers of a client.

use ca_client::{Client, ClientMetrics, RoundTrips};

use super::prometheus::Page;

pub(super) fn page(client: &Client) -> Page {
    let metrics = client.metrics();
    let mut page = Page::default();
    holds(&mut page, &metrics);
    finding(&mut page, &metrics);
    passes(&mut page, &metrics);
    page
}

fn holds(page: &mut Page, metrics: &ClientMetrics) {
    let (stats, channels) = (&metrics.stats, &metrics.channels);
    let states = [
        ("searching", channels.searching),
        ("connecting", channels.connecting),
        ("connected", channels.connected),
        ("unresponsive", channels.unresponsive),
    ];
    let name = ("canter_channels", "gauge");
    page.labelled(name, "Open channels, by state.", "state", states);
    let help = "Circuits (TCP connections to servers), being made or open.";
    page.gauge("canter_circuits", help, stats.circuits);
    let help = "Subscriptions.";
    page.gauge("canter_subscriptions", help, stats.subscriptions);
    let help = "Requests that a server owes an answer.";
    page.gauge("canter_requests_pending", help, stats.requests);
    let help = "Servers found and not connected to because of the limits on circuits.";
    page.counter(
        "canter_circuits_refused_total",
        help,
        stats.refused_circuits,
    );
}

fn finding(page: &mut Page, metrics: &ClientMetrics) {
    let traffic = &metrics.traffic;
    let help = "Datagrams with searches, copies to several addresses counted.";
    page.counter(
        "canter_search_datagrams_total",
        help,
        traffic.search_datagrams,
    );
    let help = "Bytes of datagrams with searches.";
    page.counter("canter_search_bytes_total", help, traffic.search_bytes);
    let help = "Names asked for; a name that is asked for again counts again.";
    page.counter("canter_searched_names_total", help, traffic.searches);
    let help = "Answers to searches.";
    page.counter("canter_search_replies_total", help, traffic.search_replies);
    let help = "Datagrams with searches that may be sent in a second; 0: no limit.";
    page.gauge(
        "canter_search_budget_per_second",
        help,
        metrics.search_budget,
    );
    let help = "Times that searches had to wait for their budget.";
    page.counter("canter_search_delays_total", help, traffic.search_delays);
    let counts = traffic.round_trips.counts().iter().enumerate();
    let buckets = counts.map(|(bucket, &count)| (RoundTrips::bound(bucket), count));
    let help = "Time from a search to its answer.";
    let name = "canter_search_round_trip_seconds";
    page.histogram(name, help, buckets, traffic.round_trips.total);
    let help = "Channels asked for at the server that an earlier run knew.";
    page.counter("canter_hinted_channels_total", help, traffic.hinted);
    let help = "Those of them that were searched after all.";
    page.counter("canter_stale_hints_total", help, traffic.stale_hints);
    let help = "Beacons received.";
    page.counter("canter_beacons_total", help, metrics.beacons.received);
    let help = "Beacons that told of a server that came, came back or was cut off.";
    page.counter(
        "canter_beacon_anomalies_total",
        help,
        metrics.beacons.anomalies,
    );
}

fn passes(page: &mut Page, metrics: &ClientMetrics) {
    let traffic = &metrics.traffic;
    let help = "Datagrams received.";
    page.counter(
        "canter_datagrams_received_total",
        help,
        traffic.datagrams_received,
    );
    let help = "Bytes sent on circuits.";
    page.counter("canter_sent_bytes_total", help, traffic.bytes_sent);
    let help = "Bytes received on circuits.";
    page.counter("canter_received_bytes_total", help, metrics.bytes_received);
    let help = "Updates of subscriptions received.";
    page.counter("canter_updates_total", help, traffic.updates);
    let help = "Updates dropped because their readers are slow.";
    page.counter(
        "canter_updates_dropped_total",
        help,
        metrics.updates_dropped,
    );
    let help = "Answers to reads and to puts with completion.";
    page.counter("canter_answers_total", help, traffic.answers);
    let help = "Times a channel became usable.";
    page.counter("canter_connects_total", help, traffic.connects);
    let help = "Times a channel that was usable was lost.";
    page.counter("canter_disconnects_total", help, traffic.disconnects);
}
