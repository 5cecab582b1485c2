//! File names made from keys, which anybody may have written.

use std::path::{Path, PathBuf};

/// Bytes of a name: a file system has 255, and a download adds a few of its own.
const LONGEST: usize = 200;
/// Names that are tried beside one that is taken.
const NUMBERED: usize = 1_000;

/// A file name that cannot leave its folder, whatever the key.
pub fn safe_name(key: &str) -> String {
    let last = key.rsplit(['/', '\\']).find(|part| !part.is_empty());
    let clean: String = last
        .unwrap_or_default()
        .chars()
        .map(|c| if is_harmless(c) { c } else { '_' })
        .collect();
    // Windows drops trailing dots and spaces, and `.` and `..` are made of them.
    let clean = shortened(clean.trim_end_matches(['.', ' ']));
    match clean.as_str() {
        "" => "object".to_owned(),
        name if is_device(name) => format!("_{name}"),
        name => name.to_owned(),
    }
}

/// Where in a folder the object of this key can go: by its own safe name, or where something has
/// that already with a number behind it; only paths that `fits` takes. `None` when hundreds of them
/// are taken.
pub fn free_path(folder: &Path, key: &str, fits: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let name = safe_name(key);
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
        _ => (name.as_str(), String::new()),
    };
    let numbered = (2..NUMBERED).map(|number| format!("{stem}-{number}{extension}"));
    let names = std::iter::once(name.clone()).chain(numbered);
    // Without following: a link that leads nowhere is something, too.
    let mut paths = names.map(|name| folder.join(name));
    paths.find(|path| path.symlink_metadata().is_err() && fits(path))
}

fn is_harmless(c: char) -> bool {
    let formatting = matches!(c,
        '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
    !c.is_control() && !formatting && !"<>:\"|?*/\\".contains(c)
}

/// Names that are devices in any folder of Windows, with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let stem = stem.to_ascii_uppercase();
    let numbered = |kind: &str| {
        let number = stem.strip_prefix(kind);
        number.is_some_and(|number| {
            let mut digits = number.chars();
            let digit = digits.next().is_some_and(|c| "123456789¹²³".contains(c));
            digit && digits.next().is_none()
        })
    };
    let named = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str());
    named || numbered("COM") || numbered("LPT")
}

/// At most [`LONGEST`] bytes, keeping a short extension.
fn shortened(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let extension = match name.rsplit_once('.') {
        Some((_, extension)) if extension.len() <= 16 => &name[name.len() - extension.len() - 1..],
        _ => "",
    };
    let room = LONGEST - extension.len();
    let cut = (0..=room).rev().find(|at| name.is_char_boundary(*at));
    name[..cut.unwrap_or(0)].to_owned() + extension
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_stay_recognisable() {
        for (key, name) in [
            ("outputs/run/places.txt", "places.txt"),
            ("../../etc/passwd", "passwd"),
            ("a/..", "object"),
            ("/", "object"),
            ("folder/", "folder"),
            ("C:\\windows\\system.ini", "system.ini"),
            ("C:boot", "C_boot"),
            ("a/nul.txt", "_nul.txt"),
            ("com1", "_com1"),
            ("com10", "com10"),
            ("a\u{1b}[31m.txt", "a_[31m.txt"),
            ("a\u{202e}txt.exe", "a_txt.exe"),
            ("trailing. . ", "trailing"),
            ("日本.csv", "日本.csv"),
        ] {
            assert_eq!(safe_name(key), name, "{key:?}");
        }
        let long = safe_name(&format!("{}.jsonl", "é".repeat(300)));
        assert!(long.len() <= LONGEST && long.ends_with("é.jsonl"), "{long}");
    }

    proptest! {
        #[test]
        fn no_key_leaves_the_folder(key in prop_oneof![
            any::<String>(), "[./\\\\:~ a]{0,12}", "(con|NUL|lpt1)(\\.[a-z]{0,3})?[. ]*",
        ]) {
            let name = safe_name(&key);
            let parts: Vec<Component> = Path::new(&name).components().collect();
            let is_one_name = matches!(parts.as_slice(), [Component::Normal(part)] if **part == *name);
            prop_assert!(is_one_name, "{:?}", name);
            prop_assert!(name.len() <= LONGEST + 1);
            prop_assert!(!name.chars().any(char::is_control));
            prop_assert!(!is_device(&name));
        }
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |key: &str| {
            let path = free_path(folder.path(), key, |_| true).expect("a free name");
            assert_eq!(path.parent(), Some(folder.path()));
            path.file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        };
        assert_eq!(path("out/../a.csv"), "a.csv");
        for name in ["a.csv", "a-2.csv", "plain"] {
            std::fs::write(folder.path().join(name), "mine").expect("a disk");
        }
        assert_eq!(path("b/a.csv"), "a-3.csv");
        assert_eq!(path("plain"), "plain-2");
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink("/nonexistent/elsewhere", link).expect("a link");
            assert_eq!(path("link"), "link-2");
        }
    }
}
