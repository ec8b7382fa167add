//! Emotion words of the databases, and the classes that protocols make of them.

use glint::event::Class;

use crate::corpus::rules::class_of;

/// One spelling for each emotion: lower case, nouns.
pub fn emotion(word: &str) -> String {
    let word = word.trim().to_lowercase();
    match word.as_str() {
        "happy" | "happiness" => "happiness",
        "sad" | "sadness" => "sadness",
        "angry" | "anger" => "anger",
        "surprised" | "surprise" => "surprise",
        "disgusted" | "disgust" => "disgust",
        "fearful" | "fear" => "fear",
        "other" | "others" => "others",
        _ => return word,
    }
    .to_owned()
}

/// Which classes a network is trained to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Negative, positive, surprise (MEGC2019; CAS(ME)3 with 3 classes). Others are left out.
    #[value(name = "3")]
    #[serde(rename = "3")]
    Three,
    /// Negative, positive, surprise, others (CAS(ME)3 with 4 classes).
    #[value(name = "4")]
    #[serde(rename = "4")]
    Four,
    /// Anger, disgust, fear, happiness, others, sadness, surprise (CAS(ME)3 with 7 classes).
    #[value(name = "7")]
    #[serde(rename = "7")]
    Seven,
}

impl Protocol {
    /// Names of the classes, in the order of a network's outputs.
    pub fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Three => &Class::NAMES,
            Self::Four => &["negative", "positive", "surprise", "others"],
            Self::Seven => &["anger", "disgust", "fear", "happiness", "others", "sadness", "surprise"],
        }
    }

    /// Class of an emotion (as [`emotion`] spells it), or of one of the three class words, in which SMIC and 4DME are
    /// annotated. `None` for a sample that the protocol leaves out.
    pub fn class(self, emotion: &str) -> Option<usize> {
        let coarse = |word: &str| match word {
            "negative" => Some(Class::Negative as usize),
            "positive" => Some(Class::Positive as usize),
            _ => class_of(word).map(|c| c as usize),
        };
        match self {
            Self::Three => coarse(emotion),
            Self::Four => coarse(emotion).or((emotion == "others").then_some(3)),
            Self::Seven => self.classes().iter().position(|c| *c == emotion),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_and_classes() {
        assert_eq!(
            [" Happy", "SAD", "Others", "other", "Contempt"].map(emotion),
            ["happiness", "sadness", "others", "others", "contempt"]
        );
        let classes = |p: Protocol| {
            ["happiness", "anger", "repression", "surprise", "others", "negative", "boredom"]
                .map(|e| p.class(e))
        };
        assert_eq!(classes(Protocol::Three), [Some(1), Some(0), Some(0), Some(2), None, Some(0), None]);
        assert_eq!(classes(Protocol::Four), [Some(1), Some(0), Some(0), Some(2), Some(3), Some(0), None]);
        assert_eq!(classes(Protocol::Seven), [Some(3), Some(0), None, Some(6), Some(4), None, None]);
    }
}
