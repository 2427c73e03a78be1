//! How deep a policy may be, read from its text before any parser sees it.
//!
//! Parser and evaluator recurse; where they run out of stack they give up, and two nodes need not
//! do so at the same depth. Brackets, branches and operators are what an expression nests by, so
//! a bound on their number is a bound on depth.

use tombolo_types::{Refusal, ensure};

/// The most brackets that are open at one place.
pub const DEPTH_MAX: usize = 32;
/// The most operators, member accesses and branches of one policy.
pub const OPERATORS_MAX: usize = 64;

/// Checks brackets and operators, outside strings and comments.
///
/// # Errors
/// `E_LIMIT`.
pub(super) fn check(text: &str) -> Result<(), Refusal> {
    let (mut depth, mut operators) = (0usize, 0usize);
    let mut word = String::new();
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let last = std::mem::replace(&mut before, letter);
        if letter.is_alphanumeric() || letter == '_' {
            word.push(letter);
            continue;
        }
        if matches!(word.as_str(), "if" | "in" | "has" | "like" | "is") {
            operators = operators.saturating_add(1);
        }
        word.clear();
        match letter {
            '"' => skip_string(&mut letters),
            '/' if letters.peek() == Some(&'/') => {
                letters.by_ref().take_while(|letter| *letter != '\n').for_each(drop);
            }
            '(' | '[' | '{' => depth = depth.saturating_add(1),
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            // The second letter of `==`, `!=`, `<=`, `>=`, `&&` and `||`.
            '=' | '&' | '|'
                if letter == last || matches!((last, letter), ('!' | '<' | '>', '=')) => {}
            '&' | '|' | '!' | '=' | '<' | '>' | '+' | '-' | '*' | '.' => {
                operators = operators.saturating_add(1);
            }
            _ => {}
        }
        ensure!(depth <= DEPTH_MAX, Limit, "the policy nests brackets deeper than {DEPTH_MAX}");
        ensure!(
            operators <= OPERATORS_MAX,
            Limit,
            "the policy has more than {OPERATORS_MAX} operators; split it into several"
        );
    }
    Ok(())
}

/// Skips the rest of a string, escapes included.
fn skip_string(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_types::Class;

    fn nested(depth: usize) -> String {
        format!("{}1{}", "(".repeat(depth), ")".repeat(depth))
    }

    #[test]
    fn depth_and_operators_are_bounded_outside_strings_and_comments() {
        let dots = ".".repeat(OPERATORS_MAX + 1);
        for (text, class) in [
            (nested(DEPTH_MAX), None),
            (nested(DEPTH_MAX + 1), Some(Class::Limit)),
            (format!("\"{}\"", nested(100)), None),
            (format!("\"\\\"{dots}\""), None),
            (format!("// {dots}\n1"), None),
            (dots.clone(), Some(Class::Limit)),
            ("a==b&&".repeat(OPERATORS_MAX / 2), None),
            ("a<=b||".repeat(OPERATORS_MAX / 2) + "!a", Some(Class::Limit)),
            ("!".repeat(OPERATORS_MAX + 1), Some(Class::Limit)),
            ("if a then ".repeat(OPERATORS_MAX + 1), Some(Class::Limit)),
        ] {
            assert_eq!(check(&text).err().map(|refusal| refusal.class), class, "{text}");
        }
    }
}
