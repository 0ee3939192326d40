//! Small pieces of pages: statuses, times, texts of code and models.

use jiff::Timestamp;
use maud::{Markup, html};

use super::text::{block, visible};

/// A status as a word with a colour.
pub fn badge(word: &str) -> Markup {
    let kind = match word {
        "completed" | "ok" => "good",
        "failed" | "refused" | "deadline_exceeded" => "bad",
        "in_progress" => "busy",
        _ => "other",
    };
    html! { span .badge .(kind) { (visible(&word.replace('_', " "))) } }
}

pub fn time(at: Timestamp) -> Markup {
    let whole = at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    html! { time datetime=(at.to_string()) title={ (whole) " UTC" } { (whole[5..]) } }
}

/// `340 ms`, `2.1 s`, `3 min 5 s`
pub fn duration(from: Timestamp, to: Timestamp) -> String {
    milliseconds(to.duration_since(from).as_secs_f64() * 1000.0)
}

pub fn milliseconds(ms: f64) -> String {
    match ms.max(0.0) {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms if ms < 60_000.0 => format!("{:.1} s", ms / 1000.0),
        ms => format!("{} min {:.0} s", (ms / 60_000.0) as u64, (ms % 60_000.0) / 1000.0),
    }
}

/// A text in its own lines, without what exceeds the room of a page.
pub fn preformatted(class: &str, label: &str, text: &str) -> Markup {
    let (shown, left_out) = block(text);
    html! {
        pre .(class) tabindex="0" role="group" aria-label=(label) { (visible(shown)) }
        @if left_out > 0 { p .note { (left_out) " more bytes are left out. The API returns them." } }
    }
}

/// Terms and their values.
pub fn list(facts: &[(&str, Option<Markup>)]) -> Markup {
    html! {
        dl .facts {
            @for (name, value) in facts {
                @if let Some(value) = value { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

/// JSON to read; a string as it is.
pub fn pretty(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::String(text) => text.clone(),
        json => serde_json::to_string_pretty(json).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_unit_that_reads_best() {
        for (ms, wanted) in [
            (-1.0, "0.0 ms"),
            (0.44, "0.4 ms"),
            (340.2, "340 ms"),
            (2140.0, "2.1 s"),
            (185_000.0, "3 min 5 s"),
        ] {
            assert_eq!(milliseconds(ms), wanted);
        }
    }
}
