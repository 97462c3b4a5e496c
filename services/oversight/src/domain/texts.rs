//! Every word of a timeline.

use super::Card;
use super::timeline::Happening;

/// What has happened, in Chinese.
pub fn happening(happening: Happening) -> String {
    match happening {
        Happening::Blown { units } => format!("街道吹哨，{units}个单位"),
        Happening::RungFired { number, card, push, platform_fault } => {
            let what = match (card, push) {
                (Some(card), _) => format!("逾时，出示{}", name(card)),
                (None, true) => "逾时仍未办，报送阳光+".to_owned(),
                (None, false) => "提醒".to_owned(),
            };
            let fault = if platform_fault { "（平台原因延迟）" } else { "" };
            format!("第{number}级：{what}{fault}")
        }
        Happening::Reminded { rung } => format!("第{rung}级短信已发出"),
        Happening::Called { rung } => format!("第{rung}级电话已告知并记录"),
        Happening::Answered => "单位应哨".to_owned(),
        Happening::Submitted => "单位交卷".to_owned(),
        Happening::CardAnnulled { card } => format!("综治中心撤销{}", name(card)),
        Happening::Withdrawn => "街道撤回吹哨".to_owned(),
        Happening::Closed => "全部办结".to_owned(),
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
        let rung = |platform_fault| {
            happening(Happening::RungFired { number: 2, card: Some(Card::Yellow), push: false, platform_fault })
        };
        assert_eq!(rung(false), "第2级：逾时，出示黄牌");
        assert_eq!(rung(true), "第2级：逾时，出示黄牌（平台原因延迟）");
    }
}
