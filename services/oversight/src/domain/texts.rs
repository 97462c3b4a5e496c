//! Every word of a timeline.

use foundation::words;

words! {
    /// The card shown.
    Card {
        /// 黄牌
        Yellow = "yellow",
        /// 红牌
        Red = "red",
    }
}

/// What has happened, as a person reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// A whistle was blown on so many units.
    Blown {
        /// How many.
        units: usize,
    },
    /// A rung fired.
    Rung {
        /// From 1.
        number: i32,
        /// The card it shows.
        card: Option<Card>,
        /// Whether it is the one that goes to 阳光+.
        push: bool,
        /// The platform itself was late.
        platform_fault: bool,
    },
    /// The gateway took a reminder over.
    Reminded {
        /// The rung.
        rung: i32,
    },
    /// A call was made and recorded.
    Called {
        /// The rung.
        rung: i32,
    },
    /// 应哨
    Answered,
    /// 交卷
    Submitted,
    /// The centre annulled a card.
    Annulled {
        /// Which.
        card: Card,
    },
    /// The street took the whistle back.
    Withdrawn,
    /// Every unit's share is closed.
    Closed,
}

/// The fact in Chinese.
pub fn text(fact: Fact) -> String {
    match fact {
        Fact::Blown { units } => format!("街道吹哨，{units}个单位"),
        Fact::Rung { number, card, push, platform_fault } => {
            let what = match (card, push) {
                (Some(card), _) => format!("逾时，出示{}", name(card)),
                (None, true) => "逾时仍未办，报送阳光+".to_owned(),
                (None, false) => "提醒".to_owned(),
            };
            let fault = if platform_fault { "（平台原因延迟）" } else { "" };
            format!("第{number}级：{what}{fault}")
        }
        Fact::Reminded { rung } => format!("第{rung}级短信已发出"),
        Fact::Called { rung } => format!("第{rung}级电话已告知并记录"),
        Fact::Answered => "单位应哨".to_owned(),
        Fact::Submitted => "单位交卷".to_owned(),
        Fact::Annulled { card } => format!("综治中心撤销{}", name(card)),
        Fact::Withdrawn => "街道撤回吹哨".to_owned(),
        Fact::Closed => "全部办结".to_owned(),
    }
}

/// The correction that follows a case when one of its cards was annulled.
pub fn correction(card: Card) -> String {
    format!("更正：综治中心已撤销本案所附{}，请据此修正。", name(card))
}

fn name(card: Card) -> &'static str {
    match card {
        Card::Yellow => "黄牌",
        Card::Red => "红牌",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_that_the_platform_fired_late_says_so() {
        let rung =
            |platform_fault| text(Fact::Rung { number: 2, card: Some(Card::Yellow), push: false, platform_fault });
        assert_eq!(rung(false), "第2级：逾时，出示黄牌");
        assert_eq!(rung(true), "第2级：逾时，出示黄牌（平台原因延迟）");
    }
}
