//! Prometheus' text format, a sample at a time into a buffer: there may be more of them than should be there at once.

use std::fmt::Display;
use std::io::Write;

use crate::engine::counters::Histogram;

#[derive(Clone, Copy)]
pub enum MetricType {
    Counter,
    Gauge,
    Histogram,
}

/// Names and values, in the order in which they are shown.
type Labels<'a> = &'a [(&'a str, &'a str)];

/// What stands before the samples of a name. There may be none.
pub fn begin_family(name: &str, metric_type: MetricType, help: &str, out: &mut Vec<u8>) {
    let metric_type = match metric_type {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
    };
    push(out, format_args!("# HELP {name} {help}\n# TYPE {name} {metric_type}\n"));
}

/// A line of a family that has begun.
pub fn sample(name: &str, labels: Labels<'_>, value: impl Display, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    for (index, (label, text)) in labels.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        out.extend_from_slice(label.as_bytes());
        out.extend_from_slice(b"=\"");
        escape(text, out);
        out.push(b'"');
    }
    if !labels.is_empty() {
        out.push(b'}');
    }
    push(out, format_args!(" {value}\n"));
}

/// A name with one sample and no labels.
pub fn single(name: &str, metric_type: MetricType, help: &str, value: impl Display, out: &mut Vec<u8>) {
    begin_family(name, metric_type, help, out);
    sample(name, &[], value, out);
}

/// The sum of `histograms`, which have the same bounds, in ms.
pub fn histogram<'a>(name: &str, help: &str, histograms: impl Iterator<Item = &'a Histogram>, out: &mut Vec<u8>) {
    begin_family(name, MetricType::Histogram, help, out);
    let sum = Histogram::sum(histograms);
    let Some(sum) = sum else { return };
    let (bucket, mut count) = (format!("{name}_bucket"), 0);
    for (index, in_bucket) in sum.counts.iter().enumerate() {
        count += in_bucket;
        let bound = sum.bounds_ns.get(index).map_or("+Inf".to_owned(), |ns| (*ns as f64 / 1e6).to_string());
        sample(&bucket, &[("le", &bound)], count, out);
    }
    sample(&format!("{name}_sum"), &[], sum.sum_ns as f64 / 1e6, out);
    sample(&format!("{name}_count"), &[], count, out);
}

fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            byte => out.push(byte),
        }
    }
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::counters::READ_GAP_BOUNDS_NS;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn samples() {
        assert_eq!(text(|out| sample("a_total", &[], 7, out)), "a_total 7\n");
        assert_eq!(text(|out| sample("a", &[("b", "c d")], 0.25, out)), "a{b=\"c d\"} 0.25\n");
        let labels = [("b", "quoted \" and \\ and\nline"), ("c", "ä/USD")];
        let expected = "a{b=\"quoted \\\" and \\\\ and\\nline\",c=\"ä/USD\"} 1\n";
        assert_eq!(text(|out| sample("a", &labels, 1, out)), expected);
        let expected = "# HELP a_total What it is.\n# TYPE a_total counter\na_total 1\n";
        assert_eq!(text(|out| single("a_total", MetricType::Counter, "What it is.", 1, out)), expected);
    }

    #[test]
    fn histograms_are_cumulative_and_summed_up() {
        let mut one = Histogram::new(&READ_GAP_BOUNDS_NS);
        one.observe(100_000, 1);
        one.observe(100_001, 2);
        let mut other = Histogram::new(&READ_GAP_BOUNDS_NS);
        other.observe(2_000_000_000, 1);
        let text = text(|out| histogram("gap_ms", "Gaps.", [&one, &other].into_iter(), out));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "# HELP gap_ms Gaps.",
                "# TYPE gap_ms histogram",
                "gap_ms_bucket{le=\"0.1\"} 1",
                "gap_ms_bucket{le=\"0.25\"} 3",
            ]
        );
        assert_eq!(
            lines[13..],
            [
                "gap_ms_bucket{le=\"1000\"} 3",
                "gap_ms_bucket{le=\"+Inf\"} 4",
                "gap_ms_sum 2000.300002",
                "gap_ms_count 4",
            ]
        );
    }
}
