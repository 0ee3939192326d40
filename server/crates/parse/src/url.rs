//! URLs of other servers.

use reqwest::Url;

/// Whether requests can be sent to this URL.
pub fn is_http(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Removes the credentials from a URL.
pub fn without_password(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            // Neither call fails for a URL with credentials.
            let _ = parsed.set_password(None);
            let _ = parsed.set_username("");
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_removed_and_all_else_stays() {
        for (url, wanted) in [
            ("http://user:geheim@h/v1?a=b", "http://h/v1?a=b"),
            ("https://geheim@h/", "https://h/"),
            ("http://h:1", "http://h:1"),
            ("no URL", "no URL"),
        ] {
            assert_eq!(without_password(url), wanted);
        }
    }
}
