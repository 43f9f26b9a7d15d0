/* Computed by a program outside this tree: docs/format-segment.md, "A worked example". */
#pragma once

#define GOLDEN_HEADER                                                  \
    "434c534701010201010000000100000002000000001000008081828384858687" \
    "88898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f4041424344454647" \
    "48494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f322ef810f5f8a4f2" \
    "2839749c3a55aa53a31b113f0c4119a50abe81abb92fc060069490be4b48e657" \
    "15e8033d45083c3cc41720e65b61feb37ca842d91917b7237219c399ffc11ae1" \
    "5ffa742316fce99572173b16df29de49e90bac4e24b0d95e1e68eaebe366f7dc" \
    "dc7c9c53f33580cf99f9b56d68a860363cbcc31b79d864dc"
#define GOLDEN_ID "cff2888e606770eda08cbd1873b6355ea9e254e145db0f7e0cecb854058c274d"
#define GOLDEN_PAYLOAD                                                 \
    "d622305b980c2e4f99c2be754700644de13971fb18e210d2f52865c38c835b1c" \
    "d4605463ed176cdce5bd180fce9c9e8d006d7feba6e8d41d3feeeffb73fa96eb" \
    "836cab85cd15dae9e5ab100cd970b2f83abddade372f15affbc234e892"
