//! How producers write a number or a time.

use super::{MILLISECOND, Market, SECOND, quoted, time};

impl Market {
    /// A string, now and then with escapes for what could stand for itself.
    pub(super) fn string(&mut self, text: &str) -> String {
        if !self.random.chance(self.profile.odd_json) {
            return serde_json::to_string(text).expect("it is text");
        }
        let mut units = [0; 2];
        let escaped = text.chars().map(|c| {
            let stands_for_itself = self.random.chance(700) && c >= ' ' && !"\"\\".contains(c);
            if stands_for_itself {
                return c.to_string();
            }
            c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04X}")).collect()
        });
        quoted(&escaped.collect::<String>())
    }

    /// A decimal with its point so many digits from the right, as a number or a numeric string.
    pub(super) fn number(&mut self, value: i64, decimals: u32) -> String {
        let unit = 10_i64.pow(decimals);
        let mut text = format!("{}.{:0width$}", value / unit, value % unit, width = decimals as usize);
        if self.random.chance(self.profile.odd_json) {
            text = match self.random.draw() % 8 {
                0 => format!("{text}000"),
                1 => format!("+{text}"),
                2 => format!("00{text}"),
                3 => text.strip_prefix('0').map_or(text.clone(), str::to_owned),
                4 => format!("{value}.e-{decimals}"),
                5 if self.random.chance(500) => return quoted(&format!(" {text}\t")),
                _ => format!("{value}e-{decimals}"),
            };
        }
        if self.random.chance(self.profile.string_number) { quoted(&text) } else { text }
    }

    /// What is no time, or none from 2000 to 2100.
    pub(super) fn no_time(&mut self) -> String {
        let texts = [
            "null",
            "0",
            "\"\"",
            "\"soon\"",
            "true",
            "[]",
            "NaN",
            "-1",
            "12345",
            "946684799.999999999",
            "4133980800",
            "\"1999-12-31T23:59:59.999Z\"",
            "\"2101-01-01T00:00:00Z\"",
            "\"2024-02-30T00:00:00Z\"",
            "1e30",
        ];
        self.random.pick(&texts).to_owned()
    }

    /// One of the forms in which producers write a time. Those with coarse units cut it.
    pub(super) fn timestamp(&mut self, ns: i64) -> String {
        if !self.random.chance(self.profile.alias) {
            return quoted(&time::format(ns));
        }
        let offset_text = |minutes: i64, sign: &str| {
            let local = time::format(ns + minutes * 60 * SECOND);
            format!("{}{sign}{:02}:{:02}", local.trim_end_matches('Z'), minutes.abs() / 60, minutes.abs() % 60)
        };
        let text = match self.random.draw() % 20 {
            14 => return quoted(&format!("{} UTC", &time::format(ns)[..26])),
            15 => return quoted(&offset_text(330, "+").replace("05:30", "0530")),
            16 => return quoted(&offset_text(-480, "-").replace("08:00", "08")),
            17 => return quoted(&format!(" {}\t", time::format(ns).replace('.', ","))),
            18 => return quoted(&format!("{}{:03}98765z", &time::format(ns)[..26], ns.rem_euclid(1000))),
            19 => format!("{ns}.75"),
            12 => format!("+{}.", ns / 1_000),
            13 => return quoted(&format!(" 0{} ", ns / MILLISECOND)),
            0 => {
                return quoted(&format!("{}{:03}Z", time::format(ns).trim_end_matches('Z'), ns.rem_euclid(1000)));
            }
            1 => return quoted(&time::format(ns).replace('T', " ")),
            2 => return quoted(time::format(ns).trim_end_matches('Z')),
            3 => return quoted(&offset_text(330, "+")),
            4 => return quoted(&offset_text(-480, "-")),
            5 => return quoted(&format!("{}Z", &time::format(ns)[..19])),
            6 => return quoted(&format!("{}+00:00", &time::format(ns)[..23])),
            7 => (ns / SECOND).to_string(),
            8 => (ns / MILLISECOND).to_string(),
            9 => (ns / 1_000).to_string(),
            // Microseconds are what an f64 of seconds can hold.
            10 => format!("{}.{:06}", ns / SECOND, ns % SECOND / 1_000),
            _ => ns.to_string(),
        };
        if self.random.chance(self.profile.string_number) { quoted(&text) } else { text }
    }
}
