//! Sizes as people write and read them.

/// Plain bytes, or a number with a unit: k, M, G, T are powers of 1024 as in mount's size=, and so are KiB,
/// MiB, …; kB, MB, … are powers of 1000. Case does not count.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err("a size is a number, which may have a unit behind it: 4096, 64MiB".to_string());
    }
    let unit = unit.trim_start().to_ascii_lowercase();
    let (letter, base) = match unit.as_str() {
        "" | "b" => ("", 1),
        unit => match (unit.strip_suffix("ib"), unit.strip_suffix('b')) {
            (Some(letter), _) => (letter, 1024),
            (None, Some(letter)) => (letter, 1000),
            (None, None) => (unit, 1024),
        },
    };
    let power = match letter {
        "" if base == 1 => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        "e" => 6,
        _ => {
            return Err(format!("no unit is called {unit:?}: KiB, MiB, GiB, TiB, k, M, G, T, kB, MB, GB, TB"))
        }
    };
    let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(u64::pow(base, power)));
    number.ok_or_else(|| "a size is below 2^64 bytes".to_string())
}

/// Three digits that say how much it is: "12 B", "4 KiB", "1.5 MiB".
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let power = (bytes.max(1).ilog2() / 10) as usize;
    let unit = 1u64 << (10 * power);
    let (whole, rest) = (bytes / unit, bytes % unit);
    let tenths = (u128::from(rest) * 10 / u128::from(unit)) as u64;
    match (whole < 100 && tenths > 0, UNITS[power]) {
        (true, name) => format!("{whole}.{tenths} {name}"),
        (false, name) => format!("{whole} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_and_without_a_unit() {
        let sizes = [
            ("0", 0),
            ("18446744073709551615", u64::MAX),
            ("4k", 4096),
            ("4 KiB", 4096),
            ("4kB", 4000),
            ("7b", 7),
            ("1M", 1 << 20),
            ("1MiB", 1 << 20),
            ("2G", 2 << 30),
            ("15EiB", 15 << 60),
        ];
        for (text, bytes) in sizes {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for bad in
            ["", "k", "-1", "1.5M", "1x", "1ib", "1kk", "16EiB", "18446744073709551616", "1 2", "\u{661}"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_to_read() {
        let sizes = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (1 << 20, "1 MiB"),
            ((1 << 20) - 1, "1023 KiB"),
            (u64::MAX, "15.9 EiB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(human(bytes), text);
        }
    }
}
