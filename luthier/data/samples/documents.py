"""The shop's papers: what its catalogue says, as a person would write it down for a new colleague. What retrieval searches.

The conversations ask about the same world, so that a fact changed here changes what is right there.
"""
from luthier.data.samples.shop import Shop, open_shop


def pages(shop: Shop | None = None) -> str:
    """One Markdown document; every paragraph states the facts of one thing."""
    catalogue = (shop or open_shop()).catalogue
    return "\n".join([f"# {catalogue['shop']}: what we tell our customers", "", *instruments(catalogue), *people_and_fees(catalogue), *repairs(catalogue), *days(catalogue)])


def instruments(catalogue: dict) -> list[str]:
    lines = []
    for name, item in catalogue["instruments"].items():
        stock = f"It is sold out, and the next one comes on {item['arrives']}." if item["arrives"] else "There is one in the shop today."
        teacher, rent, fee = catalogue["teachers"][item["family"]], catalogue["rents"][item["family"]], catalogue["fees"][item["size"]]
        lines += [f"## {name}", f"Our {name} is made by {item['maker']} and costs {item['price']} dollars. {stock} Renting a {name} costs {rent} dollars a month."]
        lines += [f"{teacher} teaches the {name}. Shipping a {name} costs {fee} dollars.", ""]
    return lines


def people_and_fees(catalogue: dict) -> list[str]:
    towns = [f"A parcel to {town} takes {days} days." for town, days in catalogue["towns"].items()]
    return ["## delivery", *towns, ""]


def repairs(catalogue: dict) -> list[str]:
    lines = [f"Mending a {name} costs {item['cost']} dollars and takes {item['days']} days." for name, item in catalogue["problems"].items()]
    return ["## repairs", *lines, "", "## returns", f"An instrument can come back within {catalogue['return_limit']} days.", ""]


def days(catalogue: dict) -> list[str]:
    lines = []
    for day, hours in catalogue["hours"].items():
        when = f"we open at {hours['opens']} and close at {hours['closes']}" if hours["opens"] else "we are closed"
        lines.append(f"On {day} {when}. What is ordered on {day} leaves on {catalogue['ships'][day]}.")
    return ["## hours", *lines, ""]
