"""Writes the two sheets in the old xls format that the loaders' tests read (pip install xlwt==1.3.0)."""
import pathlib

import xlwt

HERE = pathlib.Path(__file__).parent


def write(name, sheet, rows):
    book = xlwt.Workbook()
    table = book.add_sheet(sheet)
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            if value is not None:
                table.write(r, c, value)
    book.save(HERE / name)


write(
    "CASME2_label_Ver_2.xls",
    "Sheet1",
    [
        ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"],
        [1, "EP02_01f", 46, 59, 86, "12", "happiness"],
        [17, "EP05_09", 2, "/", 30, "4+L7", "others"],
    ],
)
write(
    "cas(me)3_part_A_ME_label_JpgIndex_v1.xls",
    "label",
    [
        ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion", "Expression type"],
        ["spNO.1 ", "a", 100, 104, 110, "1，2", "II", "surprise", "Micro-expression"],
        ["spNO.1 ", "a", 200, 220, 260, 12, "I", "happy", "Macro-expression"],
    ],
)
