//! Which known name somebody may have meant.

use alloc::vec::Vec;

/// Longer words are no mistyped names: comparing them would only take time.
const MAX_CHARS: usize = 40;

/// The known name that `found` looks like: at most a third of its characters would have to change, or one.
pub(super) fn nearest<'n>(found: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    if found.chars().nth(MAX_CHARS).is_some() {
        return None;
    }
    let found: Vec<char> = found.chars().flat_map(char::to_lowercase).collect();
    let near = |name: &'n str| {
        let name_chars: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
        let distance = distance(&found, &name_chars);
        let longer = found.len().max(name_chars.len());
        (distance <= (longer / 3).max(1) && distance < longer).then_some((distance, name))
    };
    known.into_iter().filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// How many characters must be replaced, inserted, removed, or exchanged with their neighbour to make one of the other.
fn distance(a: &[char], b: &[char]) -> usize {
    // The last three rows of the table of distances between beginnings.
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(above.len());
        row.push(i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = above[j] + usize::from(from != to);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = core::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(a: &str, b: &str) -> usize {
        distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
    }

    #[test]
    fn distances_count_edits() {
        for (a, b, expected) in
            [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("from", "form", 1), ("ab", "ba", 1), ("ä", "a", 1)]
        {
            assert_eq!(apart(a, b), expected, "{a} {b}");
            assert_eq!(apart(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let known = ["forward", "rmem_size", "wmem_size", "run"];
        assert_eq!(nearest("rmem_sise", known), Some("rmem_size"));
        assert_eq!(nearest("Forward", known), Some("forward"));
        assert_eq!(nearest("rnu", known), Some("run"));
        assert_eq!(nearest("abc", known), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest(&"x".repeat(1000), known), None);
    }
}
