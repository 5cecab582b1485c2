//! The price list: shipped, or a file `prices.toml` beside the settings.

use std::io::ErrorKind;
use std::path::Path;

use super::Error;
use crate::model::Prices;

/// The list that the program brings along.
pub(super) fn shipped() -> Prices {
    toml::from_str(include_str!("../../assets/prices.toml"))
        .expect("a test reads the shipped price list")
}

/// The list in `path`, or the shipped one where there is no such file.
///
/// # Errors
/// Names the file and what is wrong with it.
pub(super) fn load(path: &Path) -> Result<Prices, Error> {
    let wrong = |problem: String| Error::File {
        path: path.to_owned(),
        problem,
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(shipped()),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let prices: Prices = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    match prices.problem() {
        Some(name) => Err(wrong(format!("{name} must be a price, 0 or more"))),
        None => Ok(prices),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_list_is_dated_and_may_be_replaced() {
        let shipped = shipped();
        assert_eq!((shipped.date.len(), shipped.problem()), (10, None));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("prices.toml");
        assert_eq!(load(&path).expect("the shipped one"), shipped);
        let own = include_str!("../../assets/prices.toml").replace("0.025", "0.05");
        std::fs::write(&path, own).expect("a disk");
        let price = load(&path)
            .expect("ours")
            .step_functions
            .transitions_per_1000;
        assert!((price - 0.05).abs() < 1e-9);
        for bad in ["date = 3", "lambda = -1", ""] {
            std::fs::write(&path, bad).expect("a disk");
            let error = load(&path).expect_err("no list").to_string();
            assert!(error.contains("prices.toml"), "{error}");
        }
        let own = include_str!("../../assets/prices.toml").replace("0.025", "-1.0");
        std::fs::write(&path, own).expect("a disk");
        let error = load(&path).expect_err("no price").to_string();
        assert!(error.contains("transitions_per_1000"), "{error}");
    }
}
