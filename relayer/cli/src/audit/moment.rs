//! Points in time as people write and read them: RFC 3339, in UTC.

use jiff::Timestamp;
use std::str::FromStr;
use tombolo_types::UnixMillis;

/// A point in time on the command line: RFC 3339, or milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) UnixMillis);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(millis) = text.parse() {
            return Ok(Self(UnixMillis(millis)));
        }
        let wanted = "write 2026-01-31T12:00:00Z or milliseconds since 1970";
        let found: Timestamp = text.parse().map_err(|error| format!("{error}; {wanted}"))?;
        match u64::try_from(found.as_millisecond()) {
            Ok(millis) => Ok(Self(UnixMillis(millis))),
            Err(_) => Err(format!("it lies before 1970; {wanted}")),
        }
    }
}

/// A time as RFC 3339 in UTC with milliseconds; a number too large for that stays a number.
pub(crate) fn rfc3339(at: UnixMillis) -> String {
    let found = i64::try_from(at.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    found.map_or_else(|| format!("{at} ms"), |found| format!("{found:.3}"))
}

/// How long something has lasted or will last, in the largest unit that says enough.
pub(crate) fn lasting(ms: u64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_numbers_are_read() {
        for (text, millis) in [
            ("0", Some(0)),
            ("1700000000123", Some(1_700_000_000_123)),
            ("1970-01-01T00:00:01Z", Some(1_000)),
            ("2023-11-14T23:13:20.123+01:00", Some(1_700_000_000_123)),
            ("1969-12-31T23:59:59Z", None),
            ("2023-11-14", None),
            ("2023-11-14T22:13:20", None),
            ("yesterday", None),
            ("", None),
        ] {
            let read = text.parse::<Moment>().ok().map(|moment| moment.0.0);
            assert_eq!(read, millis, "{text}");
        }
    }

    #[test]
    fn times_are_written_with_milliseconds_and_read_back() {
        let at = UnixMillis(1_700_000_000_100);
        assert_eq!(rfc3339(at), "2023-11-14T22:13:20.100Z");
        assert_eq!(rfc3339(at).parse(), Ok(Moment(at)));
        assert_eq!(rfc3339(UnixMillis::MAX), "18446744073709551615 ms");
    }

    #[test]
    fn spans_are_short() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_999, "1 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 d"),
        ] {
            assert_eq!(lasting(ms), text);
        }
    }
}
