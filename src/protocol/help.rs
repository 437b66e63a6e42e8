//! What can be asked, for `HELP`, for completion, and for the tests that keep the
//! documentation whole.

use crate::base::{Error, ErrorCode, Result};

use super::CommandHelp;

const fn help(
    name: &'static str,
    json_type: &'static str,
    syntax: &'static str,
    description: &'static str,
) -> CommandHelp {
    CommandHelp { name, json_type, syntax, description }
}

/// Every command. One row a pair of a text word and a JSON type; where a dialect has
/// no word of its own, the row repeats the nearest one.
pub const COMMANDS: &[CommandHelp] = &[
    help(
        "CREATE",
        "CreateSeries",
        "CREATE <name> <dimension> [IF NOT EXISTS]",
        "Make a series whose points have <dimension> values.",
    ),
    help(
        "INSERT",
        "Insert",
        "INSERT <name> <v1,v2,…> [k=v,k2=v2]",
        "Write a point now; answers its timestamp.",
    ),
    help(
        "INSERT",
        "InsertWithLabels",
        "INSERT <name> <v1,v2,…> k=v[,k2=v2]",
        "Write a point with labels now; answers its timestamp.",
    ),
    help(
        "INSERT_AT",
        "InsertAt",
        "INSERT_AT <name> <timestamp_ns> <v1,v2,…> [k=v,…]",
        "Write a point at a time; writing it again replaces it.",
    ),
    help(
        "INSERT_AT",
        "InsertAtWithLabels",
        "INSERT_AT <name> <timestamp_ns> <v1,v2,…> k=v[,…]",
        "Write a point with labels at a time.",
    ),
    help(
        "INSERT",
        "BatchInsert",
        "(JSON) {\"type\":\"BatchInsert\",\"data\":{\"series\":…,\"points\":[…]}}",
        "Write many points, all or none of them.",
    ),
    help("QUERY", "Query", "QUERY <name> [hours_back=24]", "Read the points of the last hours."),
    help(
        "QUERY_RANGE",
        "QueryRange",
        "QUERY_RANGE <name> <start_ns> <end_ns>",
        "Read the points of a time range; both bounds are inclusive.",
    ),
    help(
        "SIMILAR",
        "FindSimilar",
        "SIMILAR <name> <v1,v2,…> <limit> [threshold]",
        "Find the points, or windows of points, that point in the direction of a vector. As JSON also by other metrics, like \
         what happened then, in all series of a pattern, and with an index.",
    ),
    help(
        "ANOMALY",
        "Anomaly",
        "ANOMALY <name> <window> <k>",
        "Find the k most unusual windows of <window> points.",
    ),
    help(
        "MOTIF",
        "Motif",
        "MOTIF <name> <window> <k>",
        "Find the k closest pairs of windows of <window> points.",
    ),
    help(
        "SEGMENT",
        "Segment",
        "SEGMENT <name> <window> <k>",
        "Find the k clearest changes from one regime to another, by windows of <window> points.",
    ),
    help(
        "CHAINS",
        "Chains",
        "CHAINS <name> <window> <k>",
        "Find the k longest chains of windows that are each like the one before.",
    ),
    help(
        "MPDIST",
        "MpDist",
        "MPDIST <name> <other> <window>",
        "Tell how far two series are from each other, by windows of <window> points wherever they are.",
    ),
    help(
        "SNIPPETS",
        "Snippets",
        "SNIPPETS <name> <window> <k>",
        "Find the k stretches of <window> points that stand best for all of a series.",
    ),
    help(
        "WATCH",
        "WatchProfile",
        "WATCH <series> <window> [threshold=0.5]",
        "Keep the left profile of a series while points come, and alert those who subscribed.",
    ),
    help("UNWATCH", "UnwatchProfile", "UNWATCH <series> [window]", "Keep it no longer."),
    help("WATCHES", "ListWatches", "WATCHES", "Name everything that is watched, and how far it is."),
    help(
        "SUBSCRIBE",
        "Subscribe",
        "SUBSCRIBE [series]",
        "Send alerts on this connection, one JSON line each, between replies; tsdb_client shows them.",
    ),
    help("UNSUBSCRIBE", "Unsubscribe", "UNSUBSCRIBE", "Send no more alerts on this connection."),
    help("STATS", "GetStats", "STATS <name|all>", "Figures of one series, or of everything."),
    help("LIST", "ListSeries", "LIST", "Name every series with its dimension and number of points."),
    help(
        "DELETE_RANGE",
        "DeleteRange",
        "DELETE_RANGE <name> <start_ns> <end_ns>",
        "Delete the points of a time range.",
    ),
    help("DROP", "DropSeries", "DROP <name>", "Remove a series and its points."),
    help("SAVE", "Save", "SAVE <path>", "Write a snapshot of everything into the snapshot directory."),
    help("LOAD", "Load", "LOAD <path>", "Replace everything by a snapshot."),
    help("FLUSH", "Flush", "FLUSH", "Write what is in memory to segments."),
    help("EXPORT", "ExportSeries", "EXPORT <name>", "Read a whole series as CSV."),
    help("AUTH", "Auth", "AUTH <token>", "Present a token."),
    help("PING", "Ping", "PING", "Answers PONG."),
    help("HELP", "Help", "HELP [command]", "Explain one command, or name all."),
    help("QUIT", "Quit", "QUIT", "Close the connection."),
];

/// The rows about one command, in either dialect's spelling.
///
/// # Errors
/// `UNKNOWN_COMMAND`.
pub fn find_help(command: Option<&str>) -> Result<Vec<CommandHelp>> {
    let Some(word) = command else { return Ok(COMMANDS.to_vec()) };
    let matches = |help: &&CommandHelp| {
        help.name.eq_ignore_ascii_case(word) || help.json_type.eq_ignore_ascii_case(word)
    };
    let found: Vec<CommandHelp> = COMMANDS.iter().filter(matches).cloned().collect();
    if found.is_empty() { Err(unknown_command(word)) } else { Ok(found) }
}

pub(super) fn unknown_command(word: &str) -> Error {
    let shown: String = word.chars().take(40).collect();
    Error::new(ErrorCode::UnknownCommand, format!("'{shown}' is no command; HELP names them all"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_spelling_is_found() {
        assert_eq!(find_help(Some("query_range")).unwrap().len(), 1);
        assert_eq!(find_help(Some("findsimilar")).unwrap()[0].name, "SIMILAR");
        assert_eq!(find_help(Some("x")).unwrap_err().code(), ErrorCode::UnknownCommand);
        assert_eq!(find_help(None).unwrap().len(), COMMANDS.len());
    }
}
