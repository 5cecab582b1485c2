//! How numbers, sizes, spans of time and moments read.

use crate::model::Timestamp;
pub use crate::model::figures::{bytes, count, dollars};
use crate::tui::zone;

/// `?` for what is not known: never 0.
pub fn maybe(number: Option<u64>) -> String {
    number.map_or_else(|| "?".to_owned(), count)
}

/// A share as `62.0 %`; of nothing it is 0. Neither 0 nor 100 is shown unless it is exact.
pub fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0.0 %".to_owned();
    }
    if part == whole {
        return "100.0 %".to_owned();
    }
    let share = part as f64 * 100.0 / whole as f64;
    format!("{:.1} %", share.clamp(0.1, 99.9))
}

/// The same without decimals, for columns: `62%`.
pub fn whole_percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0%".to_owned();
    }
    if part >= whole {
        return "100%".to_owned();
    }
    let share = part as f64 * 100.0 / whole as f64;
    format!("{:.0}%", share.clamp(1.0, 99.0))
}

/// Seconds as `7s`, `7m43s`, `2h11m`, `3d04h`.
pub fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// How long something took, finer while it is short: `120ms`, `3.4s`, `7m43s`.
pub fn took(duration: jiff::SignedDuration) -> String {
    match duration.as_millis().max(0) {
        millis @ 0..1_000 => format!("{millis}ms"),
        millis @ 1_000..60_000 => format!("{:.1}s", millis as f64 / 1_000.0),
        _ => span(duration.as_secs()),
    }
}

/// The largest unit alone, for deadlines: `13d`, `4h`, `9m`, `30s`.
pub fn coarse(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// Seconds from `then` to `now`, never negative: clocks differ.
pub fn seconds_between(then: Timestamp, now: Timestamp) -> i64 {
    now.duration_since(then).as_secs().max(0)
}

/// Items per second: `988/s`, `4.1/s`, `12,400/s`.
pub fn rate(per_second: f64) -> String {
    if per_second < 9.95 {
        return format!("{per_second:.1}/s");
    }
    format!("{}/s", count(per_second.round() as u64))
}

/// `14:07:31Z`.
pub fn clock(at: Timestamp) -> String {
    zone::format_in_full(at, "%H:%M:%S")
}

/// `13:53:29` today, else the day and the minute: `22 23:10`; years ago and other months in full.
pub fn moment(at: Timestamp, now: Timestamp) -> String {
    let (then, today) = (zone::zoned(at).date(), zone::zoned(now).date());
    let format = if then == today {
        "%H:%M:%S"
    } else if (then.year(), then.month()) == (today.year(), today.month()) {
        "%d %H:%M"
    } else if then.year() == today.year() {
        "%m-%d"
    } else {
        "%Y-%m"
    };
    zone::format(at, format)
}

/// `2026-11-23 13:53:29Z`.
pub fn full(at: Timestamp) -> String {
    zone::format_in_full(at, "%Y-%m-%d %H:%M:%S")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_all_is_not_all() {
        assert_eq!(percent(999_999, 1_000_000), "99.9 %");
        assert_eq!(percent(1, 1_000_000), "0.1 %");
        assert_eq!(whole_percent(999_999, 1_000_000), "99%");
        assert_eq!(whole_percent(0, 0), "0%");
    }

    #[test]
    fn spans_keep_two_units() {
        assert_eq!(
            [7, 463, 7_860, 273_600].map(span),
            ["7s", "7m43s", "2h11m", "3d04h"]
        );
    }

    #[test]
    fn short_times_are_told_finely() {
        let told = [7, 1_240, 59_990, 63_000].map(|it| took(jiff::SignedDuration::from_millis(it)));
        assert_eq!(told, ["7ms", "1.2s", "60.0s", "1m03s"]);
    }
}
