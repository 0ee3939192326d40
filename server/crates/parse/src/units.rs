//! Sizes and durations as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A size in bytes: `100MiB`, `1.5 GB`, `1_000_000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// A duration: `10s`, `500ms`, `1h30m`, `1.5h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSpan(pub Duration);

/// The time limit of one run of code: `30`, `0.5`, `30s`, `1m`. A number without unit is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunTime(pub Duration);

impl ByteSize {
    /// The size as a limit of what is held in memory.
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl TimeSpan {
    pub const fn seconds(seconds: u64) -> TimeSpan {
        TimeSpan(Duration::from_secs(seconds))
    }

    pub const fn hours(hours: u64) -> TimeSpan {
        TimeSpan::seconds(hours * 60 * 60)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteSize, String> {
        bytes(text).map(ByteSize)
    }
}

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<TimeSpan, String> {
        duration(text).map(TimeSpan)
    }
}

impl FromStr for RunTime {
    type Err = String;

    fn from_str(text: &str) -> Result<RunTime, String> {
        run_time(text).map(RunTime)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&size_text(self.0))
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&time_text(self.0))
    }
}

impl fmt::Display for RunTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&time_text(self.0))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ByteSize, D::Error> {
        deserialize(from, SIZE_EXAMPLES)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<TimeSpan, D::Error> {
        deserialize(from, TIME_EXAMPLES)
    }
}

impl<'de> Deserialize<'de> for RunTime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RunTime, D::Error> {
        deserialize(from, TIME_EXAMPLES)
    }
}

/// Reads `104857600` or `"100MiB"`.
fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(
    from: D,
    expected: &str,
) -> Result<T, D::Error> {
    let written = Written::deserialize(from).map_err(|_| D::Error::custom(expected))?;
    written.text().parse().map_err(D::Error::custom)
}

/// A number or a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Whole(u64),
    Broken(f64),
    Text(String),
}

impl Written {
    fn text(self) -> String {
        match self {
            Written::Whole(number) => number.to_string(),
            Written::Broken(number) => number.to_string(),
            Written::Text(text) => text,
        }
    }
}

/// Range of [`RunTime`].
const RUN_MIN: Duration = Duration::from_millis(1);
const RUN_MAX: Duration = Duration::from_secs(86_400);

/// Units of sizes, the largest first. A letter alone is a power of 1024, as in `dd` and `docker`.
const SIZES: [(&str, u64); 17] = [
    ("tib", 1 << 40),
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("tb", 1_000_000_000_000),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("t", 1 << 40),
    ("g", 1 << 30),
    ("m", 1 << 20),
    ("k", 1 << 10),
    ("bytes", 1),
    ("byte", 1),
    ("b", 1),
    ("", 1),
    ("ib", 0),
];

const SIZE_EXAMPLES: &str = "expected a size such as 100MiB, 100MB or 104857600";
const TIME_EXAMPLES: &str = "expected a duration such as 500ms, 30s, 2m or 1h30m";

fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || SIZE_EXAMPLES.to_owned();
    let (number, unit) = split(text.trim()).ok_or_else(wrong)?;
    let unit = unit.to_lowercase();
    let factor = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let factor = factor.filter(|factor| *factor > 0).ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let too_large = || format!("the largest size is {}", u64::MAX);
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_large())? };
    // Further digits are less than a byte.
    let digits = &fraction[..fraction.len().min(18)];
    let part: u128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| wrong())? };
    let scale = 10_u128.pow(u32::try_from(digits.len()).unwrap_or_default());
    let factor = u128::from(factor);
    let total = whole.checked_mul(factor).map(|total| total + part * factor / scale);
    total.and_then(|total| u64::try_from(total).ok()).ok_or_else(too_large)
}

fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Ok(time) = humantime::parse_duration(text) {
        return Ok(time);
    }
    let wrong = |why: &str| format!("{TIME_EXAMPLES}{why}");
    let Some((number, unit)) = split(text) else { return Err(wrong("")) };
    if unit.is_empty() {
        return Err(wrong(&format!(": write {number}s for seconds")));
    }
    // humantime does not parse fractions.
    let unit = humantime::parse_duration(&format!("1{unit}")).map_err(|_| wrong(""))?;
    let number: f64 = number.parse().map_err(|_| wrong(""))?;
    Duration::try_from_secs_f64(unit.as_secs_f64() * number).map_err(|_| wrong(""))
}

fn run_time(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let time = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| out_of_range())?,
        Err(_) => duration(text)?,
    };
    if (RUN_MIN..=RUN_MAX).contains(&time) { Ok(time) } else { Err(out_of_range()) }
}

fn out_of_range() -> String {
    format!("expected a duration from {} to {}", time_text(RUN_MIN), time_text(RUN_MAX))
}

/// Splits a number, without its underscores, from its unit.
fn split(text: &str) -> Option<(String, &str)> {
    let is_number = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '_');
    let end = text.find(|letter| !is_number(letter)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let is_one = number.starts_with(|letter: char| letter.is_ascii_digit())
        && number.ends_with(|letter: char| letter.is_ascii_digit())
        && number.matches('.').count() <= 1
        && !number.contains("__")
        && !number.contains("_.")
        && !number.contains("._")
        && unit.chars().all(char::is_alphabetic);
    is_one.then(|| (number.replace('_', ""), unit))
}

/// Formats a size in the largest unit that gives a whole number.
pub fn size_text(bytes: u64) -> String {
    let units = SIZES.iter().filter(|(name, _)| name.len() == 3 && name.ends_with("ib"));
    let unit = units.into_iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => {
            format!("{}{}iB", bytes / factor, name[..1].to_uppercase())
        }
        None => bytes.to_string(),
    }
}

/// Formats a duration in its largest units: `30s`, `1h30m`. Days are used from one week.
pub fn time_text(time: Duration) -> String {
    const DAY: u64 = 86_400;
    let (mut seconds, millis) = (time.as_secs(), time.subsec_millis());
    let days = if seconds >= 7 * DAY { seconds / DAY } else { 0 };
    seconds -= days * DAY;
    let parts = [
        (days, "d"),
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(millis), "ms"),
    ];
    // `90s`, but `2m` and `1h30m`.
    if seconds > 0 && seconds < 120 && days == 0 && millis == 0 {
        return format!("{seconds}s");
    }
    let text: String =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, wanted) in [
            ("0", 0),
            ("104857600", 100 << 20),
            ("1_000_000", 1_000_000),
            ("100MiB", 100 << 20),
            ("100mib", 100 << 20),
            ("100 MiB", 100 << 20),
            ("100M", 100 << 20),
            ("100MB", 100_000_000),
            ("1.5GiB", 3 << 29),
            ("2TiB", 2 << 40),
            ("64k", 64 << 10),
            ("12B", 12),
            ("12 bytes", 12),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(bytes(text), Ok(wanted), "{text}");
        }
        for text in [
            "",
            " ",
            "lots",
            "-1",
            "1e6",
            "100XB",
            "MiB",
            "1.2.3M",
            "1__0",
            "_1",
            "1_",
            "1.",
            ".5",
            "100ib",
            "18446744073709551616",
            "99999999TiB",
            "0x10",
            "１０",
            "340282366920938463463374607431768211456",
        ] {
            assert!(bytes(text).is_err(), "{text:?} was read");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("0.5s", 500),
            ("0s", 0),
            ("55d", 55 * 86_400_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "soon", "-1s", "30", "1.5", "1x", "s", "1e99h", "99999999999999999999h"] {
            let error = duration(text).expect_err(text);
            assert!(error.contains("30s"), "{text}: {error}");
        }
        assert!(duration("30").expect_err("it has no unit").contains("30s for seconds"));
    }

    #[test]
    fn the_limit_of_a_run_is_seconds_or_a_duration() {
        for (text, wanted) in
            [("30", 30_000), ("0.5", 500), ("30s", 30_000), ("500ms", 500), ("1m30s", 90_000)]
        {
            assert_eq!(run_time(text), Ok(Duration::from_millis(wanted)), "{text}");
        }
        for text in ["0", "-1", "86401", "inf", "NaN", "25h", "0.1ms", "1e300"] {
            assert_eq!(run_time(text), Err("expected a duration from 1ms to 24h".into()), "{text}");
        }
        assert!(run_time("abc").expect_err("it is no time").contains("such as 500ms, 30s"));
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for (bytes, wanted) in
            [(0, "0"), (100 << 20, "100MiB"), (1_000_000, "1000000"), (3 << 29, "1536MiB")]
        {
            assert_eq!(size_text(bytes), wanted);
            assert_eq!(super::bytes(wanted), Ok(bytes));
        }
        for (seconds, wanted) in [
            (0, "0s"),
            (30, "30s"),
            (60, "60s"),
            (90, "90s"),
            (120, "2m"),
            (5400, "1h30m"),
            (48 * 3600, "48h"),
            (55 * 86_400, "55d"),
        ] {
            let time = Duration::from_secs(seconds);
            assert_eq!(time_text(time), wanted);
            assert_eq!(duration(wanted), Ok(time));
        }
    }
}
