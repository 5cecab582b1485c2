//! Addresses in the AWS console of what is named on the screen, and where such names are.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::Rect;

use crate::tui::terminal::dialect;
use crate::tui::widget::text;

/// Words that begin a name which the console knows.
const BEGINNINGS: [&str; 5] = [
    "arn:aws",
    "s3://",
    "/aws/lambda/",
    "/aws/vendedlogs/",
    "/aws/states/",
];

/// The console's page of an ARN, an `s3://` address or a log group's name; `None` where it has none.
pub fn address(name: &str, region: &str) -> Option<String> {
    if let Some((bucket, key)) = name.strip_prefix("s3://").and_then(|it| it.split_once('/')) {
        let (bucket, key) = (escaped(bucket), escaped(key));
        return (!bucket.is_empty() && !key.is_empty()).then(|| {
            format!(
                "https://s3.console.aws.amazon.com/s3/object/{bucket}?region={region}&prefix={key}"
            )
        });
    }
    if name.starts_with("/aws/") {
        return Some(log_group(&host("aws", region), region, name));
    }
    let parts: Vec<&str> = name.splitn(7, ':').collect();
    let ["arn", partition, service, region, _, kind, rest] = parts[..] else {
        return None;
    };
    let host = host(partition, region);
    let states = |page: &str| {
        format!(
            "{host}/states/home?region={region}#/{page}/{}",
            escaped(name)
        )
    };
    match (service, kind) {
        ("states", "execution") => Some(states("v2/executions/details")),
        ("states", "stateMachine") => Some(states("statemachines/view")),
        ("states", "mapRun") => Some(states("v2/mapruns/details")),
        ("lambda", "function") => {
            let function = escaped(rest.split(':').next().unwrap_or(rest));
            Some(format!(
                "{host}/lambda/home?region={region}#/functions/{function}"
            ))
        }
        ("logs", "log-group") => Some(log_group(&host, region, rest.trim_end_matches(":*"))),
        _ => None,
    }
}

fn host(partition: &str, region: &str) -> String {
    let region = escaped(region).replace("%2D", "-");
    match partition {
        "aws-cn" => format!("https://{region}.console.amazonaws.cn"),
        "aws-us-gov" => format!("https://{region}.console.amazonaws-us-gov.com"),
        _ => format!("https://{region}.console.aws.amazon.com"),
    }
}

/// The page escapes the name twice, with `$` for the outer `%`.
fn log_group(host: &str, region: &str, name: &str) -> String {
    let name = escaped(&escaped(name)).replace('%', "$");
    format!("{host}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{name}")
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Turns names into links, each cell one of its own, so that it stays one whatever is drawn around
/// it. `known` are places whose text does not say what they are.
pub fn link(buffer: &mut Buffer, region: &str, known: &[(Rect, String)]) {
    for y in buffer.area.top()..buffer.area.bottom() {
        for (from, to, name) in names(buffer, y) {
            if let Some(address) = address(&name, region) {
                link_cells(buffer, y, from, to, &address);
            }
        }
    }
    for (area, name) in known {
        let area = area.intersection(buffer.area);
        if let Some(address) = address(name, region) {
            for y in area.top()..area.bottom() {
                link_cells(buffer, y, area.left(), area.right(), &address);
            }
        }
    }
}

/// Whole names in a row, from one column to before another. One that is cut is none.
fn names(buffer: &Buffer, y: u16) -> Vec<(u16, u16, String)> {
    let mut row = String::new();
    // Column of each byte.
    let mut columns: Vec<u16> = Vec::new();
    for x in buffer.area.left()..buffer.area.right() {
        let symbol = buffer[(x, y)].symbol();
        row.push_str(symbol);
        columns.resize(row.len(), x);
    }
    let mut names = Vec::new();
    for beginning in BEGINNINGS {
        for (at, _) in row.match_indices(beginning) {
            let ends = |c: char| c.is_whitespace() || "\"'`,;()[]{}<>│├┤╭╮╰╯".contains(c);
            let after_word = row[..at].chars().next_back();
            if after_word.is_some_and(|c| c.is_alphanumeric() || ":/".contains(c)) {
                continue;
            }
            let end = row[at..].find(ends).map_or(row.len(), |length| at + length);
            let name = &row[at..end];
            let is_whole = !name.contains('…');
            if let (true, Some(from), Some(to)) = (is_whole, columns.get(at), columns.get(end - 1))
            {
                names.push((*from, *to + 1, name.to_owned()));
            }
        }
    }
    names
}

fn link_cells(buffer: &mut Buffer, y: u16, from: u16, to: u16, address: &str) {
    let Some((begin, end)) = dialect::link(address) else {
        return;
    };
    let mut x = from;
    while x < to {
        let Some(cell) = buffer.cell_mut((x, y)) else {
            return;
        };
        let symbol = cell.symbol().to_owned();
        let width = (text::width(&symbol) as u16).max(1);
        let is_linked = symbol.starts_with('\x1b');
        if !is_linked && !symbol.trim().is_empty() {
            cell.set_symbol(&format!("{begin}{symbol}{end}"));
            let cells = std::num::NonZeroU16::new(width).unwrap_or(std::num::NonZeroU16::MIN);
            // The sequence takes no room, which a terminal knows and a count of characters does not.
            cell.set_diff_option(CellDiffOption::ForcedWidth(cells));
        }
        x += if is_linked { 1 } else { width };
    }
}

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::*;

    const RUN: &str = "arn:aws:states:eu-west-1:472100009012:execution:invoice-lines:a91c";

    #[test]
    fn pages_of_the_console() {
        for (name, page) in [
            (
                RUN,
                "https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/arn%3Aaws%3Astates%3Aeu%2Dwest%2D1%3A472100009012%3Aexecution%3Ainvoice%2Dlines%3Aa91c",
            ),
            (
                "s3://prod-in/a b.jsonl",
                "https://s3.console.aws.amazon.com/s3/object/prod%2Din?region=eu-west-1&prefix=a%20b%2Ejsonl",
            ),
            (
                "/aws/lambda/f",
                "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Flambda$252Ff",
            ),
        ] {
            assert_eq!(address(name, "eu-west-1").as_deref(), Some(page));
        }
        assert_eq!(address("arn:aws:iam::1:role/x", "r"), None);
        assert_eq!(address("s3://bucket", "r"), None);
    }

    #[test]
    fn whole_names_become_links_and_nothing_else_changes() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 100, 2));
        buffer.set_string(0, 0, format!("│ARN {RUN}│ 日本"), Style::new());
        buffer.set_string(0, 1, "s3://cut/na… xs3://a/b s3://a/日", Style::new());
        let plain = buffer.clone();
        link(&mut buffer, "eu-west-1", &[]);
        let linked: Vec<(u16, u16)> = (0..2)
            .flat_map(|y| (0..100).map(move |x| (x, y)))
            .filter(|at| buffer[*at].symbol().starts_with('\x1b'))
            .collect();
        let first = linked.iter().filter(|(_, y)| *y == 0).count();
        assert_eq!(first, RUN.len());
        let second: Vec<u16> = linked
            .iter()
            .filter(|it| it.1 == 1)
            .map(|it| it.0)
            .collect();
        assert_eq!(second, (23..31).collect::<Vec<u16>>()[..second.len()]);
        for at in linked {
            let symbol = buffer[at].symbol();
            assert!(symbol.ends_with("\x1b]8;;\x1b\\"), "{symbol:?}");
            assert!(symbol.contains(plain[at].symbol()));
        }
        // What is drawn again is only what changed.
        assert_eq!(buffer.diff(&buffer.clone()).len(), 0);
        assert!(!plain.diff(&buffer).is_empty());
    }
}
