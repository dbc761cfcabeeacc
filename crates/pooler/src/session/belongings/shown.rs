//! How a server shows a parameter that a client wrote in its own way, as far as a client is told
//! before a server has said so.

/// How a server shows what a client wrote for a parameter that is reported; `base` is how it shows
/// its own value.
pub fn shown(name: &str, value: &[u8], base: &str) -> String {
    let written = String::from_utf8_lossy(value);
    match name {
        "DateStyle" => date_style(&written, base),
        "client_encoding" => {
            let name: String = written.chars().filter(char::is_ascii_alphanumeric).collect();
            match name.to_ascii_uppercase().as_str() {
                "UNICODE" => "UTF8".into(),
                _ if written.contains('_') => written.to_ascii_uppercase(),
                upper => upper.into(),
            }
        }
        _ => written.into_owned(),
    }
}

/// `german` is `German, DMY`; `ISO` keeps the order of the base.
fn date_style(written: &str, base: &str) -> String {
    let lower = written.to_ascii_lowercase();
    let words = || lower.split([',', ' ']).filter(|word| !word.is_empty());
    let style = words().find_map(|word| match word {
        "iso" => Some("ISO"),
        "sql" => Some("SQL"),
        "german" => Some("German"),
        word if word.starts_with("postgres") => Some("Postgres"),
        _ => None,
    });
    let order = words().find_map(|word| match word {
        "ymd" => Some("YMD"),
        "mdy" | "us" => Some("MDY"),
        "dmy" => Some("DMY"),
        word if word.starts_with("noneuro") => Some("MDY"),
        word if word.starts_with("euro") => Some("DMY"),
        _ => None,
    });
    let (base_style, base_order) = base.split_once(", ").unwrap_or((base, "MDY"));
    let implied = if style == Some("German") { "DMY" } else { base_order };
    format!("{}, {}", style.unwrap_or(base_style), order.unwrap_or(implied))
}
