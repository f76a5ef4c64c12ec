"""Price geographies: the eight areas of the world that CloudFront has prices for.

An edge location begins with three letters, the IATA code of an airport nearby: ``IAD89-P3`` is in
North America. The area of the edge decides the price, not that of the client.
"""

from __future__ import annotations

from functools import lru_cache

NORTH_AMERICA, EUROPE, AFRICA, SOUTH_AMERICA = (
    "north-america", "europe", "africa-middle-east", "south-america",
)  # fmt: skip
JAPAN, OCEANIA, ASIA, INDIA = "japan", "oceania", "asia", "india"

GEOGRAPHIES = (NORTH_AMERICA, EUROPE, AFRICA, SOUTH_AMERICA, JAPAN, OCEANIA, ASIA, INDIA)
"""In the order of CloudFront's price list."""

UNKNOWN_GEOGRAPHY = "unknown"
"""Of edges that the log does not tell or this version does not know. A tariff prices it like the
setting ``prices.geography``."""

_EDGES = {
    # United States, Mexico, Canada
    NORTH_AMERICA: "ABQ ANC ATL AUS BNA BOS BUF BWI CLE CLT CMH CVG DAL DCA DEN DFW DTW EWR GDL HIO"
                   " HNL HOU IAD IAH IND JAX JFK LAS LAX LGA MCI MCO MEM MEX MIA MSP MSY MTY NYC"
                   " OAK OKC OMA ORD PDX PHL PHX PIT QRO RDU RIC SAN SAT SEA SFO SJC SLC SMF STL"
                   " TPA YEG YHZ YOW YTO YUL YVR YWG YYC YYZ",
    # Europe, Israel, Türkiye
    EUROPE: "AMS ANK ARN ATH BCN BEG BER BRU BTS BUD CDG CPH DUB DUS EDI ESB FCO FRA GVA HAM HEL"
            " IST KBP KEF KRK LCA LED LHR LIS LJU LON LUX LYS MAD MAN MLA MRS MUC MXP ORY OSL OTP"
            " PAR PMO PRG RIX ROM SAW SKG SKP SOF STO STR SVO TIA TLL TLV TXL VIE VLC VNO WAW ZAG"
            " ZRH",
    # South Africa, Kenya, Nigeria, Egypt, the Middle East
    AFRICA: "ABJ ACC ADD AMM AUH BAH BEY CAI CMN CPT DAR DKR DMM DOH DUR DXB EBB FJR JED JNB KWI"
            " LOS MBA MCT MRU NBO RUH TUN",
    SOUTH_AMERICA: "ASU BOG BSB CCS CNF COR CWB EZE FOR GIG GRU GYE LIM LPB MDE MVD POA REC SCL SSA"
                   " UIO VVI",
    JAPAN: "CTS FUK HND ITM KIX NGO NRT OKA OSA TYO",
    # Australia, New Zealand
    OCEANIA: "ADL AKL BNE CBR CHC DRW MEL PER SYD WLG",
    # Hong Kong, Indonesia, Philippines, Singapore, South Korea, Taiwan, Thailand, Malaysia, Vietnam
    ASIA: "BKK CEB CGK CNX DAD DMK DPS GMP HAN HKG ICN JHB KHH KUL MFM MNL PEN PUS SGN SIN SUB TPE"
          " TSA",
    INDIA: "AMD BLR BOM CCU COK DEL HYD IXC JAI LKO MAA NAG PNQ TRV",
}  # fmt: skip
"""Codes of edges that exist, and of other large airports: new edges open there. Edges in China
are missing: they have a price list of their own, in yuan."""

_OF_EDGE = {code: geography for geography, codes in _EDGES.items() for code in codes.split()}

_REGIONS = (
    (NORTH_AMERICA, ("us-", "ca-", "mx-")),
    (EUROPE, ("eu-", "eusc-", "il-")),
    (AFRICA, ("af-", "me-")),
    (SOUTH_AMERICA, ("sa-",)),
    (JAPAN, ("ap-northeast-1", "ap-northeast-3")),
    (OCEANIA, ("ap-southeast-2", "ap-southeast-4", "ap-southeast-6")),
    (INDIA, ("ap-south-",)),
    (ASIA, ("ap-",)),  # all others
)
"""Geographies of regions by the beginning of their names; the first that fits."""

_CODE = 3


def geography_of_edge(location: str) -> str:
    """Price geography of an edge location, such as ``FRA56-P2`` in the log's ``x-edge-location``.

    Returns:
        One of ``GEOGRAPHIES``; ``UNKNOWN_GEOGRAPHY`` for ``-``, for edges in China, and for edges
        that this version does not know.
    """
    return _OF_EDGE.get(location[:_CODE].upper(), UNKNOWN_GEOGRAPHY)


@lru_cache(maxsize=256)
def geography_of_region(region: str) -> str:
    """Price geography of the edges near an AWS region, whose machines they serve.

    Returns:
        One of ``GEOGRAPHIES``; ``UNKNOWN_GEOGRAPHY`` for regions in China, and for what is none,
        such as ``UNKNOWN`` or ``other-aws``.
    """
    return next(
        (geography for geography, names in _REGIONS if region.startswith(names)), UNKNOWN_GEOGRAPHY
    )
