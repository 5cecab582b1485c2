//! The time zone that moments are shown in: UTC, unless another one was chosen at the start.

use std::sync::OnceLock;

use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::model::Timestamp;

/// Set once, before anything is drawn.
static CHOSEN: OnceLock<TimeZone> = OnceLock::new();

/// Shows moments in this zone from now on: `local`, `UTC`, or an IANA name.
///
/// # Errors
/// In words, when there is no such zone.
pub fn choose(name: &str) -> Result<(), String> {
    // Chosen already: the first one stays.
    let _ = CHOSEN.set(named(name)?);
    Ok(())
}

fn named(name: &str) -> Result<TimeZone, String> {
    match name {
        "local" => TimeZone::try_system()
            .map_err(|error| format!("the zone of this machine is not known: {error}")),
        "UTC" | "utc" => Ok(TimeZone::UTC),
        name => TimeZone::get(name)
            .map_err(|_| format!("there is no time zone {name:?}: local, UTC, or Europe/Berlin")),
    }
}

/// The moment as it is shown.
pub fn zoned(at: Timestamp) -> Zoned {
    let zone = CHOSEN.get().unwrap_or(const { &TimeZone::UTC });
    at.to_zoned(zone.clone())
}

/// In this format, without saying the zone.
pub fn format(at: Timestamp, format: &str) -> String {
    zoned(at).strftime(format).to_string()
}

/// In this format, with `Z` or `+01` behind it.
pub fn format_in_full(at: Timestamp, format: &str) -> String {
    let at = zoned(at);
    let offset = suffix(&at);
    format!("{}{offset}", at.strftime(format))
}

fn suffix(at: &Zoned) -> String {
    if at.offset().is_zero() {
        return "Z".to_owned();
    }
    let offset = at.strftime("%z").to_string();
    offset.strip_suffix("00").unwrap_or(&offset).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_is_said_as_shortly_as_it_can_be() {
        let at: Timestamp = "2026-11-23T14:07:31Z".parse().expect("a moment");
        let told = |zone: &str| {
            let zone = TimeZone::posix(zone).expect("a zone");
            let at = at.to_zoned(zone);
            format!("{}{}", at.strftime("%H:%M"), suffix(&at))
        };
        assert_eq!(told("UTC0"), "14:07Z");
        assert_eq!(told("XXX-1"), "15:07+01");
        assert_eq!(told("XXX-5:30"), "19:37+0530");
        assert_eq!(told("XXX8"), "06:07-08");
        assert_eq!(format_in_full(at, "%H:%M:%S"), "14:07:31Z");
    }

    #[test]
    fn a_zone_that_is_none_is_named() {
        let problem = named("Europe/Nowhere").expect_err("there is none");
        assert!(problem.contains("Europe/Nowhere"), "{problem}");
        assert!(named("utc").is_ok());
    }
}
