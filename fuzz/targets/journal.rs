//! The journal of a run: what is read back decides what is undone.

use nodeprep::journal::{Record, read as parse};

pub fn read(input: &[u8]) {
    let _ = parse(input);
    // A random line's checksum is never right, so the records are given theirs.
    let lines: Vec<String> = super::parts(input).map(line).collect();
    let text = lines.concat();
    let (records, damage) = parse(text.as_bytes());
    let again: String = records
        .iter()
        .map(|record| line(&serde_json::to_vec(record).unwrap()))
        .collect();
    assert_eq!(parse(again.as_bytes()), (records.clone(), None));
    // A crash leaves a part of the last line, or none of it.
    if let Some(last) = records.last().filter(|_| damage.is_none()) {
        let last: Record = serde_json::from_str(&serde_json::to_string(last).unwrap()).unwrap();
        let begin = again.len() - line(&serde_json::to_vec(&last).unwrap()).len();
        let cut = begin + input.len() % (again.len() - begin);
        let (before, damage) = parse(&again.as_bytes()[..cut]);
        assert_eq!(
            (before.as_slice(), damage),
            (&records[..records.len() - 1], None)
        );
    }
}

fn line(json: &[u8]) -> String {
    let json = String::from_utf8_lossy(json).replace('\n', " ");
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}
