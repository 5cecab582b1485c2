//! How numbers, sizes and sums read, wherever they are shown.

/// `1204331` as `1,204,331`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `398.2 MB`, in powers of ten, as file managers count.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if size < 1_000 {
        return format!("{size} B");
    }
    let mut value = size as f64 / 1_000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// An estimate in US dollars: `$11.03`. Less than a cent is not nothing.
pub fn dollars(sum: f64) -> String {
    match sum {
        0.0 => "$0.00".to_owned(),
        ..0.01 => "under $0.01".to_owned(),
        _ => format!("${sum:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0, 999, 1_000, 1_204_331].map(count),
            ["0", "999", "1,000", "1,204,331"]
        );
    }

    #[test]
    fn sizes_round_into_the_next_unit() {
        assert_eq!(
            [999, 65_000, 398_200_000, 999_999].map(bytes),
            ["999 B", "65.0 kB", "398.2 MB", "1.0 MB"]
        );
    }

    #[test]
    fn a_little_money_is_some() {
        assert_eq!(
            [0.0, 0.004, 0.01, 11.034].map(dollars),
            ["$0.00", "under $0.01", "$0.01", "$11.03"]
        );
    }
}
