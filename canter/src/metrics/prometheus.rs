//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write};
use std::time::Duration;

/// A page of metrics. Names end in their unit; those that only grow, in `_total`.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, help, "gauge");
        self.line(name, "", "", value);
    }

    /// A number that only grows.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, help, "counter");
        self.line(name, "", "", value);
    }

    /// Several numbers of a kind, told apart by a label.
    pub(super) fn labelled<V: Display>(
        &mut self,
        (name, kind): (&str, &str),
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (impl Display, V)>,
    ) {
        self.head(name, help, kind);
        for (of, value) in values {
            self.line(name, label, &of.to_string(), value);
        }
    }

    /// Times: how many were in each bucket, with the upper bound of each but the last.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        buckets: impl IntoIterator<Item = (Option<Duration>, u64)>,
        total: Duration,
    ) {
        self.head(name, help, "histogram");
        let (mut count, bucket) = (0, format!("{name}_bucket"));
        for (bound, here) in buckets {
            count += here;
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |b| b.as_secs_f64().to_string());
            self.line(&bucket, "le", &bound, count);
        }
        self.line(&format!("{name}_sum"), "", "", total.as_secs_f64());
        self.line(&format!("{name}_count"), "", "", count);
    }

    pub(super) fn text(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, label: &str, of: &str, value: impl Display) {
        let _ = match label {
            "" => writeln!(self.0, "{name} {value}"),
            label => {
                let of = of
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n");
                writeln!(self.0, "{name}{{{label}=\"{of}\"}} {value}")
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_look_like_that() {
        let mut page = Page::default();
        page.gauge("a", "What a is.", 1);
        page.labelled(("b_total", "counter"), "B.", "of", [("x\"y", 2)]);
        let buckets = [(Some(Duration::from_millis(1)), 3), (None, 1)];
        page.histogram("c_seconds", "C.", buckets, Duration::from_millis(2500));
        assert_eq!(
            page.text(),
            "# HELP a What a is.\n# TYPE a gauge\na 1\n\
             # HELP b_total B.\n# TYPE b_total counter\nb_total{of=\"x\\\"y\"} 2\n\
             # HELP c_seconds C.\n# TYPE c_seconds histogram\n\
             c_seconds_bucket{le=\"0.001\"} 3\nc_seconds_bucket{le=\"+Inf\"} 4\n\
             c_seconds_sum 2.5\nc_seconds_count 4\n"
        );
    }
}
