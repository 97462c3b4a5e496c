//! Text as people see it.

/// A phone number as anybody may see it: `138****5678`.
pub fn masked(phone: &str) -> String {
    let length = phone.chars().count();
    let hidden = |index: usize| length < 8 || (3..length - 4).contains(&index);
    phone.chars().enumerate().map(|(index, c)| if hidden(index) { '*' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_number_is_hidden() {
        assert_eq!(masked("13812345678"), "138****5678");
        assert_eq!(masked("0473-2998110"), "047*****8110");
        assert_eq!(masked("12345"), "*****");
    }
}
