//! The sample file: places of the world, and the country codes that the demo's service knows.

use std::collections::HashMap;

const PLACES: &str = include_str!("../../assets/sample/places.txt");
const COUNTRIES: &str = include_str!("../../assets/sample/countries.tsv");

/// Lines in the sample as it is.
pub fn len() -> usize {
    PLACES.lines().count()
}

/// `count` lines, `City, Country`. Beyond its end the sample begins again with the round's number
/// behind the city, so that all lines differ.
pub fn lines(count: usize) -> impl Iterator<Item = String> {
    let rounds = (1..).flat_map(|round| PLACES.lines().map(move |line| (round, line)));
    rounds.take(count).map(|(round, line)| match round {
        1 => line.to_owned(),
        _ => match line.split_once(", ") {
            Some((city, country)) => format!("{city} ({round}), {country}"),
            None => format!("{line} ({round})"),
        },
    })
}

/// ISO 3166-1 alpha-2 codes by country name.
pub fn country_codes() -> HashMap<&'static str, &'static str> {
    COUNTRIES
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(code, name)| (name, code))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_sample_has_a_thousand_places_each_of_a_country_with_a_code() {
        let codes = country_codes();
        let lines: Vec<String> = lines(len()).collect();
        assert!(1_000 <= lines.len());
        assert_eq!(lines.iter().collect::<HashSet<_>>().len(), lines.len());
        for line in &lines {
            let (city, country) = line.split_once(", ").expect("city and country");
            assert!(!city.is_empty() && line.trim() == line, "{line}");
            assert!(codes.contains_key(country), "{line}");
        }
        assert!(codes.values().all(|code| code.len() == 2));
    }

    #[test]
    fn more_lines_than_the_sample_has_still_differ() {
        let count = 2 * len() + 1;
        let distinct: HashSet<String> = lines(count).collect();
        assert_eq!(distinct.len(), count);
    }
}
