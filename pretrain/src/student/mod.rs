//! The way from people to `student.onnx`: one recipe, teachers, their student, its int8 form, its calibration.
//!
//! | module | meaning |
//! |---|---|
//! | [`recipe`] | what is fixed beforehand |
//! | [`teachers`] | the teachers, what they begin as, their file |
//! | [`finetune`] | a teacher that begins as a pretrained encoder |
//! | [`distil`] | training samples, and the student that learns from teachers |
//! | [`export`] | int8, tuning on labelled samples, the files |
//! | [`calibration`] | temperature and abstention from rendered pairs of people who train nothing |
//! | [`words`] | the classes that the daemon's own chain gives to what it finds, and calibration on those |
//! | [`worth`] | what pretraining is worth to the student |
//! | [`inputs`] | what the student could see beyond motion at 28 x 28 |

pub mod calibration;
pub mod distil;
pub mod export;
pub mod finetune;
pub mod inputs;
pub mod recipe;
pub mod teachers;
pub mod words;
pub mod worth;
