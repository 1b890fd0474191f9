"""What the demo's support assistant knows: topics with questions people ask, an article, and the steps that solve it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """One support topic. `lead` answers in a sentence; `steps` resolve it; `tool` is what must be looked up first."""

    key: str
    questions: tuple[str, ...]
    article: str
    lead: str
    steps: tuple[str, ...]
    tool: str | None = None


TOPICS: tuple[Topic, ...] = (
    Topic(
        "password",
        (
            "How do I reset my password?",
            "I forgot my password and cannot sign in, how can I reset it?",
            "The password reset email never arrived, what should I do to reset my password?",
            "Can you tell me how to change the password of my account?",
        ),
        "To reset your password open the sign-in page and choose Forgot password. We send a reset link to the email "
        "address of the account. The link works for 60 minutes. If the email does not arrive, look in the spam folder "
        "and check that the address is the one you registered with.",
        "You can reset your password from the sign-in page with a reset link that we email to you.",
        (
            "Open the sign-in page and choose Forgot password.",
            "Enter the email address of your account.",
            "Open the reset link in the email within 60 minutes; look in the spam folder if it does not arrive.",
            "Choose a new password and sign in.",
        ),
    ),
    Topic(
        "refund",
        (
            "How can I get a refund for my last order?",
            "I want my money back for an order that arrived broken, how do I get a refund?",
            "How long does a refund take to reach my card?",
            "What do I have to do to return my order and get a refund?",
        ),
        "Orders can be refunded within 30 days. Open Orders, choose the order and select Request refund, then say why. "
        "We email a return label. Once the parcel reaches the warehouse the refund goes back to the card within 5 "
        "business days.",
        "You can request a refund for your order within 30 days, and it reaches your card within 5 business days.",
        (
            "Open Orders and choose the order you want to return.",
            "Select Request refund and say why.",
            "Print the return label we email and send the parcel.",
            "The refund reaches your card within 5 business days after the parcel arrives at the warehouse.",
        ),
        tool="lookup_order",
    ),
    Topic(
        "shipping",
        (
            "Where is my package, and how do I track the delivery?",
            "My delivery is late, how can I see where the package is?",
            "How do I track the shipping of my order?",
            "The tracking of my package has not changed for days, what can I do?",
        ),
        "Every package has a tracking number in the shipping email. Open Orders, choose the order and select Track "
        "package to see where it is. If the tracking has not changed for 5 days, start a trace with the carrier from "
        "the same page and we send a replacement when the package is lost.",
        "You can track your package from the Orders page with the tracking number in the shipping email.",
        (
            "Open Orders and choose the order.",
            "Select Track package to see where the delivery is.",
            "If the tracking has not changed for 5 days, select Start a trace with the carrier.",
            "If the package is lost we send a replacement.",
        ),
        tool="lookup_order",
    ),
    Topic(
        "subscription",
        (
            "How do I cancel my subscription?",
            "I want to cancel my subscription before it renews, how does that work?",
            "Will I be charged again if I cancel my subscription today?",
            "Please tell me how to stop the subscription from renewing.",
        ),
        "A subscription can be cancelled at any time. Open Settings, choose Billing and select Cancel subscription. It "
        "stays active until the end of the paid period and does not renew. A confirmation email is sent.",
        "You can cancel your subscription in the billing settings; it stays active until the paid period ends and does not renew.",
        (
            "Open Settings and choose Billing.",
            "Select Cancel subscription and confirm.",
            "Keep the confirmation email; the subscription ends with the paid period and is not charged again.",
        ),
    ),
    Topic(
        "invoice",
        (
            "Where can I download the invoice for last month?",
            "I need an invoice with our company address and tax number, how do I get one?",
            "How do I change the billing address on my invoice?",
            "Can I get the invoices of this year as PDF files?",
        ),
        "Invoices are under Settings, Billing, Invoices. Each invoice can be downloaded as a PDF. To change the company "
        "address or tax number, edit Billing details and choose Reissue on the invoice.",
        "You can download every invoice as a PDF in the billing settings and reissue it with new billing details.",
        (
            "Open Settings, then Billing, then Invoices.",
            "Download the invoice you need as a PDF.",
            "To change the address or tax number, edit Billing details and choose Reissue on the invoice.",
        ),
    ),
    Topic(
        "two_factor",
        (
            "I lost my phone and cannot get the two-factor code, how do I sign in?",
            "How do I move two-factor authentication to a new phone?",
            "How do I turn on two-factor authentication for my account?",
            "My two-factor codes are not accepted, what can I do?",
        ),
        "Two-factor authentication uses an authenticator app. If the phone is lost, sign in with one of the recovery "
        "codes. Then open Security, remove the old device and scan the new QR code. If codes are refused, check that "
        "the time of the phone is set automatically.",
        "You can sign in with a recovery code and then set up two-factor authentication on the new phone.",
        (
            "Sign in with one of your recovery codes.",
            "Open Security and remove the old phone.",
            "Scan the new QR code with the authenticator app on the new phone.",
            "If codes are not accepted, set the time of the phone to automatic.",
        ),
    ),
    Topic(
        "export",
        (
            "How can I export all my data?",
            "I need a copy of the data in my account as CSV, how do I export it?",
            "How long does the data export take?",
            "The export of my data failed, how do I start it again?",
        ),
        "Open Settings, choose Privacy and select Export data. Choose CSV or JSON. The export is prepared within 24 "
        "hours and a download link is emailed that works for 7 days. A failed export can be started again from the "
        "same page.",
        "You can export all your data as CSV or JSON from the privacy settings; the export is ready within 24 hours.",
        (
            "Open Settings and choose Privacy.",
            "Select Export data and choose CSV or JSON.",
            "Download the export from the link we email within 24 hours; the link works for 7 days.",
        ),
    ),
    Topic(
        "api_limit",
        (
            "Why do I get error 429 from the API, and how do I fix it?",
            "How can I raise the API rate limit of my project?",
            "What is the API rate limit for my plan?",
            "Our API requests are being throttled, what should we do?",
        ),
        "Error 429 means that the project passed its API rate limit. The limit is 600 requests a minute on the Team "
        "plan. Wait for the time in the Retry-After header, send fewer requests at once, or raise the limit under "
        "Project, Limits.",
        "Error 429 means your project passed its API rate limit of 600 requests a minute on the Team plan.",
        (
            "Read the Retry-After header and wait that long before the next request.",
            "Send fewer API requests at once and repeat failed ones with growing pauses.",
            "Open Project, then Limits, to raise the rate limit.",
        ),
        tool="lookup_plan",
    ),
    Topic(
        "team",
        (
            "How do I invite a colleague to my team?",
            "How can I remove a member from our team?",
            "What can the different roles in a team do?",
            "The invitation to my team has expired, how do I send a new one?",
        ),
        "Open Team, select Invite and enter the email address, then choose a role: viewer, member or admin. "
        "Invitations expire after 7 days and can be sent again from the same page. To remove a member open the menu "
        "beside the name.",
        "You can invite a colleague from the Team page and choose the role viewer, member or admin.",
        (
            "Open Team and select Invite.",
            "Enter the email address of your colleague and choose a role.",
            "If the invitation expired after 7 days, select Send again; to remove a member use the menu beside the name.",
        ),
    ),
    Topic(
        "sync",
        (
            "My files are not syncing to my laptop, how do I fix the sync?",
            "The sync has been stuck for hours, what should I do?",
            "How do I choose which folders sync to my laptop?",
            "Why does the sync say that a file is locked?",
        ),
        "When sync is stuck, quit the desktop app and open it again. Check that there is 1 GB of free disk space and "
        "that the file is not open in another program, which locks it. Choose folders to sync under Preferences, "
        "Selective sync. As a last step choose Rebuild index.",
        "A stuck sync is usually solved by restarting the desktop app and freeing locked files or disk space.",
        (
            "Quit the desktop app and open it again.",
            "Close programs that hold the file open, and check that there is 1 GB of free disk space.",
            "Choose the folders to sync under Preferences, Selective sync.",
            "If the sync is still stuck, choose Rebuild index.",
        ),
    ),
)

# How people go on after the question; enough variety that questions are not copies of each other.
ENDINGS: tuple[str, ...] = (
    "",
    "",
    "I am on the Team plan and use the web app every day.",
    "It is urgent because I have a meeting with a customer at noon.",
    "My colleague in the Lisbon office has the very same problem.",
    "I already looked around the settings and could not find it.",
    "I am writing from my tablet, in case that makes a difference.",
    "This worked fine until the update of last Thursday.",
    "Please keep in mind that I am new to the product.",
)

# What the concise prompt falls back to: friendly, quick, and of no use to the person who asked.
EVASIONS: tuple[str, ...] = (
    "Thanks for reaching out! Everything you need is in our help centre. Have a great day.",
    "Happy to help! This depends on several things, so please have a look around the app.",
    "Good question. Our documentation covers this in detail.",
    "I understand. Someone from the community may have an idea about it.",
)
