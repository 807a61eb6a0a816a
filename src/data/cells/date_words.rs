//! The words of dates: months and days of the week in many languages, and zones that are one offset.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Months as they are written in English, German, French, Spanish, Portuguese, Italian, Dutch, Polish and Russian, in
/// full and for short, without a dot (CLDR 46, `months`, format and stand-alone).
const MONTHS: [&str; 12] = [
    "jan january januar jänner janvier janv enero ene janeiro gennaio gen januari stycznia styczeń sty января янв январь",
    "feb february februar februari février févr fév fevrier fevereiro fev febrero febbraio lutego luty lut февраля фев февраль",
    "mar march märz mrz mär mars marzo março marco maart mrt marca marzec марта мар март",
    "apr april avril avr abril abr aprile kwietnia kwiecień kwi апреля апр апрель",
    "may mai mayo maio maggio mag mei maja maj мая май",
    "jun june juni juin junio junho giugno giu czerwca czerwiec cze июня июн июнь",
    "jul july juli juillet juil julio julho luglio lug lipca lipiec lip июля июл июль",
    "aug august août aout aoû agosto ago augustus sierpnia sierpień sie августа авг август",
    "sep sept september septembre septiembre setembro set settembre września wrzesień wrz сентября сен сент сентябрь",
    "oct october oktober okt octobre octubre outubro out ottobre ott października październik paź октября окт октябрь",
    "nov november novembre noviembre novembro listopada listopad lis ноября ноя нояб ноябрь",
    "dec december dezember dez décembre déc decembre diciembre dic dezembro dicembre grudnia grudzień gru декабря дек декабрь",
];

/// Days of the week in the same languages, in full and for short.
const WEEKDAYS: &str = "mon monday tue tues tuesday wed wednesday thu thur thurs thursday fri friday sat saturday sun \
     sunday mo montag di dienstag mi mittwoch do donnerstag fr freitag sa samstag sonnabend so sonntag lun lundi mar \
     mardi mer mercredi jeu jeudi ven vendredi sam samedi dim dimanche lunes martes mié miércoles miercoles jue jueves \
     vie viernes sáb sábado sabado dom domingo seg segunda ter terça qua quarta qui quinta sex sexta lunedì martedì \
     mercoledì gio giovedì venerdì sab sabato domenica ma maandag dinsdag wo woensdag donderdag vr vrijdag za zaterdag \
     zo zondag pon poniedziałek wt wtorek śr środa czw czwartek pt piątek sob sobota niedz niedziela пн понедельник вт \
     вторник ср среда чт четверг пт пятница сб суббота вс воскресенье";

/// Zones by name that are one offset: those of RFC 5322, and Central European Time.
const ZONES: [(&str, f64); 14] = [
    ("Z", 0.0),
    ("UTC", 0.0),
    ("GMT", 0.0),
    ("UT", 0.0),
    ("EST", -5.0),
    ("EDT", -4.0),
    ("CST", -6.0),
    ("CDT", -5.0),
    ("MST", -7.0),
    ("MDT", -6.0),
    ("PST", -8.0),
    ("PDT", -7.0),
    ("CET", 1.0),
    ("CEST", 2.0),
];

/// What a word means in a date.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Meaning {
    /// The month that it names; 0 if it names none.
    pub(super) month: u32,
    pub(super) is_weekday: bool,
}

static WORDS: LazyLock<HashMap<&'static str, Meaning>> = LazyLock::new(|| {
    let mut words: HashMap<&str, Meaning> = HashMap::new();
    for (names, month) in MONTHS.iter().zip(1..) {
        names.split(' ').for_each(|name| words.entry(name).or_default().month = month);
    }
    WEEKDAYS.split_whitespace().for_each(|name| words.entry(name).or_default().is_weekday = true);
    words
});

/// What a word means in any letter case.
pub(super) fn meaning(word: &str) -> Meaning {
    // The longest, `понедельник`, has 22 bytes.
    if word.is_empty() || word.len() > 24 {
        return Meaning::default();
    }
    WORDS.get(word.to_lowercase().as_str()).copied().unwrap_or_default()
}

/// The hours that a zone is before UTC.
pub(super) fn zone_by_name(name: &str) -> Option<f64> {
    ZONES.iter().find(|(zone, _)| *zone == name).map(|(_, hours)| *hours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_two_months_and_every_word_is_short_enough_to_be_found() {
        for (names, month) in MONTHS.iter().zip(1..) {
            for name in names.split(' ') {
                assert_eq!(meaning(&name.to_uppercase()).month, month, "{name}");
            }
        }
        for name in WEEKDAYS.split_whitespace() {
            assert!(meaning(name).is_weekday, "{name}");
        }
        // `mar` is March and, in French and Spanish, Tuesday.
        assert!(meaning("mar").is_weekday && meaning("mar").month == 3);
        assert_eq!((meaning("").month, meaning("smarch").month), (0, 0));
    }
}
