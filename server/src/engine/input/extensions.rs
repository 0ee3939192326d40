//! File name extensions by MIME type: one table, and `.bin` for all other types.

/// The extension that Gemini uses, or the usual one for types that were not observed there.
const KNOWN: &[(&str, &str)] = &[
    ("application/geo+json", "geojson"),
    ("application/gzip", "gz"),
    ("application/javascript", "js"),
    ("application/json", "json"),
    ("application/json-lines", "jsonl"),
    ("application/jsonl", "jsonl"),
    ("application/jsonlines", "jsonl"),
    ("application/ld+json", "json"),
    ("application/msword", "doc"),
    ("application/pdf", "pdf"),
    ("application/rtf", "rtf"),
    ("application/sql", "sql"),
    ("application/toml", "toml"),
    ("application/typescript", "ts"),
    ("application/vnd.apache.parquet", "parquet"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.ms-powerpoint", "ppt"),
    ("application/vnd.oasis.opendocument.presentation", "odp"),
    ("application/vnd.oasis.opendocument.spreadsheet", "ods"),
    ("application/vnd.oasis.opendocument.text", "odt"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/x-gzip", "gz"),
    ("application/x-httpd-php", "php"),
    ("application/x-ipynb+json", "ipynb"),
    ("application/x-javascript", "js"),
    ("application/x-jsonlines", "jsonl"),
    ("application/x-ndjson", "jsonl"),
    ("application/x-parquet", "parquet"),
    ("application/x-python", "py"),
    ("application/x-python-code", "py"),
    ("application/x-sh", "sh"),
    ("application/x-sqlite3", "sqlite"),
    ("application/x-tar", "tar"),
    ("application/x-typescript", "ts"),
    ("application/x-yaml", "yaml"),
    ("application/xml", "xml"),
    ("application/yaml", "yaml"),
    ("application/zip", "zip"),
    ("audio/aac", "aac"),
    ("audio/aiff", "aiff"),
    ("audio/flac", "flac"),
    ("audio/m4a", "m4a"),
    ("audio/mp3", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "ogg"),
    ("audio/wav", "wav"),
    ("audio/webm", "webm"),
    ("audio/x-wav", "wav"),
    ("image/avif", "avif"),
    ("image/bmp", "bmp"),
    ("image/gif", "gif"),
    ("image/heic", "heic"),
    ("image/heif", "heif"),
    ("image/jpeg", "jpeg"),
    ("image/jpg", "jpeg"),
    ("image/png", "png"),
    ("image/svg+xml", "svg"),
    ("image/tiff", "tiff"),
    ("image/webp", "webp"),
    ("text/calendar", "ics"),
    ("text/css", "css"),
    ("text/csv", "csv"),
    ("text/html", "html"),
    ("text/javascript", "js"),
    ("text/markdown", "md"),
    ("text/plain", "txt"),
    ("text/rtf", "rtf"),
    ("text/tab-separated-values", "tsv"),
    ("text/typescript", "ts"),
    ("text/x-c", "c"),
    ("text/x-c++", "cpp"),
    ("text/x-c++src", "cpp"),
    ("text/x-csrc", "c"),
    ("text/x-java", "java"),
    ("text/x-java-source", "java"),
    ("text/x-markdown", "md"),
    ("text/x-python", "py"),
    ("text/x-typescript", "ts"),
    ("text/xml", "xml"),
    ("text/yaml", "yaml"),
    ("video/mp4", "mp4"),
    ("video/mpeg", "mpeg"),
    ("video/quicktime", "mov"),
    ("video/webm", "webm"),
    ("video/x-msvideo", "avi"),
];

/// `Text/CSV; charset=utf-8` is a `csv`.
pub fn extension(mime_type: &str) -> &'static str {
    let name = mime_type.split(';').next().unwrap_or_default().trim();
    let known = KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.map_or("bin", |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_type_has_its_extension_and_any_other_has_bin() {
        for (mime_type, wanted) in [
            ("text/csv", "csv"),
            ("Text/CSV; charset=utf-8", "csv"),
            ("image/jpeg", "jpeg"),
            ("application/x-ndjson", "jsonl"),
            ("application/jsonl", "jsonl"),
            ("application/octet-stream", "bin"),
            ("application/x-made-up", "bin"),
            ("text/x-made-up", "bin"),
            ("image/x-made-up", "bin"),
            ("", "bin"),
            ("../../etc/passwd", "bin"),
        ] {
            assert_eq!(extension(mime_type), wanted, "{mime_type}");
        }
        assert!(KNOWN.is_sorted_by_key(|(name, _)| name), "the table is sorted");
    }
}
